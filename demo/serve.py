"""From a command's options to a page that answers: opens, warms up, serves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI

from demo.app import Served, make_app
from demo.batches import Batches, PackShape
from demo.corpus import read_corpus
from demo.encoders import open_encoders
from demo.search import LEAST_POINTS, Search, cluster
from schemas.tokens import load_tokenizer
from trainer.encoders.fetch import resolve_encoder

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class DemoConfig:
    """What is served, and where."""

    encoders: tuple[str, ...]
    """Folders, Hub ids or names of ours; the first is the default."""
    corpus: Path | None = None
    texts: int = 10_000
    """Texts of the corpus that are searched."""
    field: str = "text"
    """Of JSON lines and Parquet."""
    mixtures: Mapping[str, Any] | None = None
    """Documents as in a data_config.json, by name."""
    host: str = "127.0.0.1"
    port: int = 8000

    def __post_init__(self) -> None:
        if not self.encoders:
            raise ValueError("no encoder to serve; name at least one")
        if not 1 <= self.texts <= 2_000_000:
            raise ValueError(f"texts is {self.texts}; expected 1 to 2,000,000")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}; expected 0 to 65535")


def open_served(config: DemoConfig) -> Served:
    """Encoders and corpus, opened. Raises OSError or ValueError, in one line, for what cannot be."""
    encoders = open_encoders(config.encoders)
    if config.corpus is None:
        return Served(encoders, None, None)
    search = Search(read_corpus(config.corpus, config.texts, field=config.field))
    batches = None
    if config.corpus.is_dir():
        tokenizer = load_tokenizer(resolve_encoder(config.encoders[0]))
        batches = Batches(config.corpus, tokenizer, config.mixtures)
    return Served(encoders, search, batches)


def warm_up(served: Served) -> None:
    """What the first user would wait for: compilations, imports, and the corpus's vectors."""
    words = ["a", "sentence", "that", "nobody", "asked", "for"]
    for encoder in served.encoders.values():
        for count in (8, 30):  # each length of rows is compiled by itself, and most texts are short
            encoder.encode_later([" ".join(words * (count // len(words) + 1))])
    if served.search is not None:
        served.search.vectors(next(iter(served.encoders.values())))
        cluster(np.eye(LEAST_POINTS, dtype=np.float32))  # the library is imported by its first use
    if served.batches is not None:
        with suppress(ValueError, OSError):  # the page says what is wrong, when it is asked for
            served.batches.picture("equal weights", 0, 32, PackShape())


def serve(config: DemoConfig, *, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is called with the address once it answers.

    Raises OSError when the address is taken, and what `open_served` raises.
    """
    listening = _listen(config.host, config.port)
    with listening:
        served = open_served(config)
        is_local = config.host in ("localhost", "127.0.0.1", "::1")
        app = make_app(served, hosts=LOOPBACK if is_local else None)
        warming = threading.Thread(target=warm_up, args=(served,), name="warming up", daemon=True)
        shown = "localhost" if is_local else config.host
        _run(app, listening, lambda: (ready(f"http://{shown}:{listening.getsockname()[1]}/"), warming.start()))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise OSError(
            f"{host}:{port} cannot be served from ({error.strerror or error}); choose another --port or --host"
        ) from None


def _run(app: FastAPI, listening: socket.socket, started: Callable[[], Any]) -> None:
    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, lifespan="off")
    with suppress(KeyboardInterrupt):  # Ctrl-C is how one leaves
        Server(settings).run(sockets=[listening])
