"""`pairstream demo`: encoders and a corpus as a page in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairstream.arguments import Encoders, parse
from pairstream.cli import UsageError
from pairstream.quiet import quiet_libraries

NEEDED = ("fastapi", "uvicorn", "sklearn")
QUICKSTART = "quickstart"


@dataclass(frozen=True)
class Arguments:
    """Serve a page: similarity, answers to questions, search with a map, gender bias, and what is in a batch.

    Without an encoder, the quickstart's and its base, with the quickstart's corpus.
    For example: pairstream demo runs/quickstart/encoder all-MiniLM-L6-v2 --corpus data/docstrings
    """

    encoders: Encoders = ()
    """Encoder folders or Hub ids; the first is the default."""
    corpus: Path | None = None
    """What is searched: a folder of datasets, JSON lines, Parquet, CSV, TSV, or a file with a text a line."""
    texts: int = 10_000
    """Texts searched, of each dataset alike, held-out ones first. Encoded once, some hundred a second on two cores."""
    field: str = "text"
    """The field of JSON lines, or the column of Parquet, CSV or TSV, that holds the text."""
    mixture: tuple[Path, ...] = ()
    """Mixtures (data_config.json) that the page can show batches of; an equal mixture is always there."""
    host: str = "127.0.0.1"
    """Address to serve on. Any but the loopback is open to the network: the page has no password."""
    port: int = 8000
    """Port to serve on; 0: any that is free."""


def main(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, argv, "demo")
    missing = [name for name in NEEDED if not _is_there(name)]
    if missing:
        raise RuntimeError(
            f"{missing[0]} is not installed; install the page's libraries: pip install 'pairstream[demo]'"
        )
    quiet_libraries()
    from demo.serve import DemoConfig, serve
    from schemas.mixture import Mixture

    for path in arguments.mixture:
        Mixture.load(path)  # its errors come before anything is opened
    encoders, corpus, mixtures = arguments.encoders, arguments.corpus, arguments.mixture
    if not encoders:
        encoders, default_corpus, default_mixture = _quickstart()
        if corpus is None:
            corpus, mixtures = default_corpus, (*mixtures, default_mixture)
    try:
        config = DemoConfig(
            encoders=tuple(encoders),
            corpus=corpus,
            texts=arguments.texts,
            field=arguments.field,
            mixtures={_name(path): _read_json(path) for path in mixtures},
            host=arguments.host,
            port=arguments.port,
        )
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    serve(config, ready=lambda address: print(f"serving {address} (Ctrl-C ends it)", flush=True))


def _is_there(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def _quickstart() -> tuple[tuple[str, ...], Path, Path]:
    """(encoders, corpus, mixture) of the quickstart's run. Raises UsageError when it was not made."""
    from pairstream.load_run import load_run

    config = load_run(QUICKSTART)
    encoder, corpus = Path("runs", config.name, "encoder"), Path(config.data)
    for path in (encoder, corpus):
        if not path.exists():
            raise UsageError(f"{path} is not there yet; `make demo` makes it, or name an encoder and --corpus")
    return (str(encoder), config.encoder), corpus, Path(config.mixture)


def _read_json(path: Path) -> Any:
    import gzip

    import orjson

    data = path.read_bytes()
    document = orjson.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    return {"datasets": document} if isinstance(document, list) else document


def _name(path: Path) -> str:
    """What the page calls a mixture.

    >>> _name(Path("configs/quickstart.data_config.json"))
    'quickstart'
    """
    return path.name.partition(".")[0] or path.name
