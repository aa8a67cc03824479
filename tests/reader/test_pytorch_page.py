"""The code of docs/pytorch.md, run as it stands there."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys

import numpy as np
import orjson
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from reader.plan import plan_batches
from reader.rows import Packing
from schemas.mixture import Mixture
from schemas.pair import Pair
from schemas.tokens import load_tokenizer

pytestmark = pytest.mark.interop

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]


PART = """
if __name__ == "__main__":
    import sys

    mixture, data, encoder, made = sys.argv[1:]
    loader = make_loader(mixture, data, encoder, start=3, steps=7)
    whole = [{name: field.numpy() for name, field in batch.items()} for batch in loader]
    dataset = loader.dataset
    ranks = [list(PairBatches(dataset.plan, dataset.layout, steps=4, start=3, rank=rank, ranks=4)) for rank in range(4)]
    np.savez(
        made,
        **{f"{number}/{name}": field for number, batch in enumerate(whole) for name, field in batch.items()},
        ranks=np.concatenate([part[0]["tokens"].numpy() for part in ranks]),
    )
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory, write_dataset) -> tuple[str, str, str]:
    """(mixture, data, encoder) as paths."""
    folder = tmp_path_factory.mktemp("pytorch")
    for name, count in (("one", 90), ("two", 60)):
        pairs = iter([Pair(name, f"{name} a {n}", f"b {n} {n + 1}") for n in range(count)])
        write_dataset(folder / "data", name, [list(itertools.islice(pairs, count))])
    (folder / "mixture.json").write_bytes(orjson.dumps([{"name": "one", "weight": 2}, {"name": "two", "weight": 1}]))
    vocabulary = {token: n for n, token in enumerate([*SPECIAL, "a", "b", *map(str, range(95))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return str(folder / "mixture.json"), str(folder / "data"), str(folder)


def expected(run: tuple[str, str, str], start: int, steps: int) -> list:
    from reader.stream import stream_batches

    plan = plan_batches(Mixture.load(run[0]), run[1], batch_size=32)
    packing = Packing(load_tokenizer(run[2]), pairs=8, rows=16, row_tokens=64, max_tokens=(32, 64))
    return list(stream_batches(plan, start, steps - start, packing))


def test_the_page_s_loader_yields_the_stream_s_batches_and_ranks_share_them(run, tmp_path, project_root) -> None:
    page = (project_root / "docs" / "pytorch.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    script = tmp_path / "page.py"
    script.write_text(code + PART)
    # A process of its own: the loader forks, which a process that already runs TensorFlow must not.
    subprocess.run(
        [sys.executable, str(script), *run, str(tmp_path / "made.npz")],
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(project_root)},
    )
    found, batches = np.load(tmp_path / "made.npz"), expected(run, 3, 7)
    assert len(found.files) == len(batches) * len(batches[0]) + 1
    for number, batch in enumerate(batches):
        for name, array in batch._asdict().items():
            assert found[f"{number}/{name}"].tobytes() == array.tobytes(), name
    np.testing.assert_array_equal(found["ranks"], batches[0].tokens)
