"""`pairstream search`: find the nearest texts of a corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairstream.arguments import Encoder, Query, at_least, parse, print_json
from pairstream.quiet import progress_bar, quiet_libraries
from schemas.texts import FIELD, Text, count_texts, read_texts


@dataclass(frozen=True)
class Arguments:
    """Show the texts of a corpus that lie nearest to a query.

    For example: pairstream search runs/quickstart/encoder --corpus data/docstrings/docstring_code "parse a date"
    """

    encoder: Encoder
    """Encoder folder or Hub id."""
    query: Query
    """What to look for."""
    corpus: Path
    """Folder of a preprocessed dataset, whose positives are searched, or a file: a text a line, JSON lines, Parquet,
    CSV, TSV."""
    field: str = FIELD
    """Field of JSON lines, or column of Parquet, CSV or TSV, that holds the text."""
    hits: int = 5
    """Texts shown."""
    limit: int = 2000
    """Texts searched: of a dataset the held-out ones first. Their vectors are kept for the next query."""
    json: bool = False
    """Print one JSON document instead of text."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "search")
    at_least(arguments, hits=1, limit=1)
    texts, total = _read_corpus(arguments.corpus, arguments.field, arguments.limit)
    quiet_libraries()
    import numpy as np

    from trainer.encode import TextEncoder
    from trainer.encoders.fetch import resolve_encoder
    from trainer.evaluate.nearest import nearest

    folder = resolve_encoder(arguments.encoder)
    encoder = TextEncoder.open(folder)
    vectors = _vectors(encoder, folder, [text.text for text in texts])
    found, scores = nearest(encoder.encode([arguments.query], prompt=encoder.prompts.query), vectors, arguments.hits)
    hits = [
        {"score": float(score), "source": texts[number].source, "text": texts[number].text}
        for number, score in zip(found[0].tolist(), np.asarray(scores[0]), strict=True)
    ]
    if arguments.json:
        print_json({"query": arguments.query, "searched": len(texts), "hits": hits})
    else:
        _print_hits(hits, len(texts), total)


def _read_corpus(path: Path, field: str, limit: int) -> tuple[list[Text], int]:
    """(distinct texts of a corpus that are not blank, at most `limit`; all the texts there are)."""
    found: dict[str, Text] = {}
    total = 0
    for text in read_texts(path, field=field):
        total += 1
        if text.text.strip():
            found.setdefault(text.text, text)
        if len(found) == limit:
            break
    if not found:
        raise ValueError(f"{path}: no text to search")
    if len(found) == limit:
        total = max(total, count_texts(path) or 0)
    return list(found.values()), total


def _vectors(encoder: Any, folder: Path, texts: list[str]) -> Any:
    """The texts' vectors, kept in the user's cache under the digest of the encoder's files and the texts."""
    import numpy as np

    from schemas.shards import open_local
    from trainer.encoders.digest import encoder_digest
    from trainer.encoders.fetch import cache_folder

    prompt = encoder.prompts.document
    digest = hashlib.sha256(encoder_digest(folder).encode())
    for text in (prompt, *texts):
        digest.update(len(text).to_bytes(8, "little") + text.encode(errors="surrogatepass"))
    path = cache_folder() / "vectors" / f"{digest.hexdigest()}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    with progress_bar("encoding the corpus, once", len(texts)) as progress:
        vectors = encoder.encode(texts, prompt=prompt, progress=progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_local(str(path)) as file:
        np.save(file, vectors)
    return vectors


def _print_hits(hits: list[dict[str, Any]], searched: int, total: int) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    for place, hit in enumerate(hits, start=1):
        lines = hit["text"].strip().splitlines()
        shown = "\n     ".join([line[:110] for line in lines[:8]] + ["…"] * (len(lines) > 8))
        console.print(f"[bold]{place:>2}.[/bold] {hit['score']:.3f}  [cyan]{escape(hit['source'])}[/cyan]")
        console.print(f"     {escape(shown)}\n", highlight=False, soft_wrap=True)
    rest = f"; --limit {total} searches all, once about {total // 100:,} s on two cores" if searched < total else ""
    console.print(f"searched {searched:,} of {total:,} texts{rest}", style="dim", highlight=False)
