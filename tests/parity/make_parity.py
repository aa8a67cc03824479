"""Makes one .npz for each family: a tiny random encoder of `transformers`, its inputs and its outputs.

Run with torch and transformers installed; the tests that read the files need neither.

    python tests/parity/make_parity.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import transformers  # pyright: ignore[reportMissingImports]

FOLDER = Path(__file__).parent
LENGTHS = (36, 7, 20, 3)  # the longest reaches distances that share a bucket of MPNet's
SHAPE = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-2,  # large, so that a constant in its place shows
}
CONFIGS = {
    "bert": SHAPE | {"max_position_embeddings": 36, "type_vocab_size": 2, "pad_token_id": 0},
    "roberta": SHAPE | {"max_position_embeddings": 38, "type_vocab_size": 1, "pad_token_id": 1},
    "mpnet": SHAPE | {"max_position_embeddings": 38, "pad_token_id": 1},
    "distilbert": {
        "vocab_size": 60,
        "dim": 24,
        "n_layers": 2,
        "n_heads": 3,
        "hidden_dim": 48,
        "activation": "gelu",
        "max_position_embeddings": 36,
        "pad_token_id": 0,
    },
}


def main() -> None:
    for model_type, keys in CONFIGS.items():
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(model_type, **keys)
        model = transformers.AutoModel.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():  # the default initialisation is too flat to show mistakes
                parameter.add_(torch.randn_like(parameter) * 0.3)
        mask = torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]
        tokens = torch.where(mask, torch.randint(2, keys["vocab_size"], mask.shape), keys["pad_token_id"])
        with torch.inference_mode():
            hidden = model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        weights = {f"weight/{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
        output = FOLDER / f"{model_type}.npz"
        np.savez_compressed(
            output,
            config=np.array(json.dumps({"model_type": model_type} | keys)),
            tokens=tokens.numpy().astype(np.int32),
            lengths=np.array(LENGTHS, np.int32),
            hidden=hidden.numpy(),
            **weights,
        )
        print(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
