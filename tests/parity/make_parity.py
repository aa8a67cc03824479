"""Makes bert.npz: a tiny random BERT of `transformers`, its inputs and its outputs.

Run with torch and transformers installed; the tests that read the file need neither.

    python tests/parity/make_parity.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from transformers import BertConfig, BertModel  # pyright: ignore[reportMissingImports]

OUTPUT = Path(__file__).with_name("bert.npz")
CONFIG = {
    "model_type": "bert",
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}


def main() -> None:
    torch.manual_seed(0)
    model = BertModel(BertConfig(**CONFIG)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # the default initialisation is too flat to show mistakes
            parameter.add_(torch.randn_like(parameter) * 0.3)
    lengths = [12, 7, 3, 10]
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    tokens = torch.randint(1, CONFIG["vocab_size"], mask.shape) * mask
    with torch.inference_mode():
        hidden = model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
    weights = {f"weight/{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
    np.savez_compressed(
        OUTPUT,
        config=np.array(json.dumps(CONFIG)),
        tokens=tokens.numpy().astype(np.int32),
        lengths=np.array(lengths, np.int32),
        hidden=hidden.numpy(),
        **weights,
    )
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
