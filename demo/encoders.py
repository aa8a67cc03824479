"""Encoders that many users share: what waits is encoded together, and a user goes before the corpus."""

from __future__ import annotations

import itertools
import queue
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.shards import checksum
from trainer.encode import TextEncoder
from trainer.encoders.fetch import resolve_encoder
from trainer.encoders.settings import EncoderSettings, Prompts, Similarity

Side = Literal["query", "document", "default"]
"""What a text is to those it is compared with: it looks for them, is looked for, or neither."""

Prompted = tuple[str, str]
"""A text's prompt and the text."""

TOGETHER = 256
"""Texts of waiting users that go in one call at most: more would make all of them wait for each other."""
REMEMBERED = 4096
"""Vectors of users' texts that are kept: while one types, all texts but one are those of before."""
AT_ONCE, IN_BACKGROUND = 0, 1


class Encodes(Protocol):
    """What is asked of an encoder here; `TextEncoder` is one."""

    dimensions: int

    def encode(self, texts: Sequence[str], /, *, prompt: str) -> NDArray[np.float32]:
        """float32[n, D], row i for text i with `prompt` before it."""
        ...


@dataclass(order=True)
class _Waiting:
    priority: int
    number: int
    texts: Sequence[Prompted] = field(compare=False)
    result: Future[NDArray[np.float32]] = field(compare=False)


class SharedEncoder:
    """One encoder and the one thread that calls it.

    Vectors have unit length where the encoder was made for cosines, so that a dot product is its similarity.
    """

    def __init__(
        self,
        name: str,
        encoder: Encodes,
        *,
        similarity: Similarity = "cosine",
        digest: str = "",
        prompts: Prompts | None = None,
    ) -> None:
        """`digest` stands for the encoder's weights and settings: equal digests, equal vectors."""
        self.name, self.digest = name, digest
        self.similarity: Similarity = similarity
        self.dimensions = encoder.dimensions
        self._prompts = prompts or Prompts()
        self._encoder = encoder
        self._waiting: queue.PriorityQueue[_Waiting] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._known: OrderedDict[Prompted, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        threading.Thread(target=self._work, name=f"encoder {name}", daemon=True).start()

    @property
    def scale(self) -> float:
        """What similarities are multiplied by in the softmax that such encoders are trained with."""
        return 20.0 if self.similarity == "cosine" else 1.0

    def prompted(self, texts: Sequence[str], side: Side | Sequence[Side]) -> list[Prompted]:
        """Each text with the prompt of its side."""
        sides = [side] * len(texts) if isinstance(side, str) else side
        return [(getattr(self._prompts, one), text) for one, text in zip(sides, texts, strict=True)]

    def encode(self, texts: Sequence[str], side: Side | Sequence[Side] = "default") -> NDArray[np.float32]:
        """float32[n, D] for a user who waits; `side` is of all texts or of each. Raises what the encoder raises."""
        asked = self.prompted(texts, side)
        with self._lock:
            known = {one: self._known[one] for one in asked if one in self._known}
        new = [one for one in dict.fromkeys(asked) if one not in known]
        if new:
            known |= dict(zip(new, self._put(AT_ONCE, new).result(), strict=True))
            with self._lock:
                for one in dict.fromkeys(asked):
                    self._known[one] = known[one]
                    self._known.move_to_end(one)
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return np.stack([known[one] for one in asked]) if asked else np.zeros((0, self.dimensions), np.float32)

    def encode_later(self, texts: Sequence[str], side: Side = "default") -> Future[NDArray[np.float32]]:
        """The same when no user waits; nothing is kept."""
        return self._put(IN_BACKGROUND, self.prompted(texts, side))

    def _put(self, priority: int, texts: Sequence[Prompted]) -> Future[NDArray[np.float32]]:
        result: Future[NDArray[np.float32]] = Future()
        self._waiting.put(_Waiting(priority, next(self._numbers), texts, result))
        return result

    def _work(self) -> None:
        while True:
            together = self._take()
            try:
                vectors = self._embed([text for one in together for text in one.texts])
            except Exception as error:
                for one in together:
                    one.result.set_exception(error)
                continue
            ends = np.cumsum([len(one.texts) for one in together])
            for one, part in zip(together, np.split(vectors, ends[:-1]), strict=True):
                one.result.set_result(part)

    def _embed(self, texts: Sequence[Prompted]) -> NDArray[np.float32]:
        """One call for each prompt among them."""
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        rows: dict[str, list[int]] = {}
        for row, (prompt, _) in enumerate(texts):
            rows.setdefault(prompt, []).append(row)
        for prompt, some in rows.items():
            vectors[some] = self._encoder.encode([texts[row][1] for row in some], prompt=prompt)
        if self.similarity == "cosine":
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def _take(self) -> list[_Waiting]:
        """The first who waits, and of the other users as many as go along."""
        together = [self._waiting.get()]
        count = len(together[0].texts)
        while together[0].priority == AT_ONCE:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            count += len(following.texts)
            if following.priority != AT_ONCE or count > TOGETHER:
                self._waiting.put(following)
                break
            together.append(following)
        return together


def open_encoder(name: str) -> SharedEncoder:
    """The encoder of a folder, a Hub id or a name of ours. Raises OSError or ValueError in one line."""
    folder = resolve_encoder(name)
    settings = EncoderSettings.load(folder)
    return SharedEncoder(
        short_name(name),
        TextEncoder.open(folder),
        similarity=settings.similarity,
        digest=encoder_digest(folder),
        prompts=settings.prompts,
    )


def open_encoders(names: Sequence[str]) -> dict[str, SharedEncoder]:
    """All of them by the names the page shows, which are told apart by numbers where they are equal."""
    found: dict[str, SharedEncoder] = {}
    for encoder in map(open_encoder, dict.fromkeys(names)):
        same = sum(name == encoder.name or name.startswith(f"{encoder.name} (") for name in found)
        if same:
            encoder.name = f"{encoder.name} ({same + 1})"
        found[encoder.name] = encoder
    return found


def short_name(name: str) -> str:
    """What the page calls an encoder.

    >>> short_name("runs/quickstart/encoder"), short_name("all-MiniLM-L6-v2")
    ('quickstart', 'all-MiniLM-L6-v2')
    """
    path = Path(name).resolve() if Path(name).is_dir() else Path(name)
    return path.parent.name if path.name == "encoder" and path.parent.name else path.name


def encoder_digest(folder: Path) -> str:
    """sha256 over the folder's files that decide a vector."""
    wanted = (".json", ".safetensors", ".txt")
    files = sorted(path for path in folder.rglob("*") if path.suffix in wanted and path.is_file())
    return "-".join(checksum(path) for path in files)
