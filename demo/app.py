"""The application: routes that check what they are asked, call a module, and answer in JSON."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from demo import forms
from demo.batches import Batches, PackShape
from demo.bias import Bias
from demo.encoders import SharedEncoder, Side
from demo.guard import Guard
from demo.routes import described
from demo.search import NotYetError, Search

STATIC = Path(__file__).with_name("static")
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Served:
    """What the page is about."""

    encoders: Mapping[str, SharedEncoder]
    """By the names the page shows, the default first."""
    search: Search | None
    """None where no corpus was given."""
    batches: Batches | None
    """None where the corpus is no folder of datasets."""

    def encoder(self, name: str | None) -> SharedEncoder:
        """The named encoder, or the first. Raises ValueError for a name there is not."""
        if name is None:
            return next(iter(self.encoders.values()))
        if name not in self.encoders:
            raise ValueError(f"no encoder {name[:100]!r}; there are {', '.join(self.encoders)}")
        return self.encoders[name]


def make_app(served: Served, *, hosts: Collection[str] | None = ("localhost", "127.0.0.1", "[::1]")) -> FastAPI:
    """The page over what is served. `hosts`: the names it may be asked for by; None: any."""
    # FastAPI's own pages of documentation load their scripts from elsewhere; ours is in the page.
    app = FastAPI(title="pairstream demo", docs_url=None, redoc_url=None)
    app.add_middleware(Guard, most_bytes=forms.MOST_BYTES, hosts=hosts)
    _add_errors(app)
    _add_page(app)
    _add_state(app, served)
    _add_comparisons(app, served)
    _add_search(app, served)
    _add_bias(app, served)
    _add_batches(app, served)
    return app


def _add_errors(app: FastAPI) -> None:
    """Whatever goes wrong is one line under `error`."""

    @app.exception_handler(RequestValidationError)
    def refuse_form(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": form_error(error.errors()[0])}, 422)

    @app.exception_handler(NotYetError)
    def not_yet(_: Request, error: NotYetError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 503, {"Retry-After": "2"})

    @app.exception_handler(ValueError)
    def refuse(_: Request, error: ValueError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(HTTPException)
    def other(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:
        logging.getLogger("demo").error("%s: %s: %s", request.url.path, type(error).__name__, error)
        return JSONResponse({"error": "the server failed; what went wrong stands in its terminal"}, 500)


def form_error(error: Mapping[str, Any]) -> str:
    """The first thing wrong with a form, in one line: the field and what is expected of it.

    >>> form_error({"loc": ("body", "others", 3), "type": "string_too_long", "ctx": {"max_length": 5}})
    'others, number 4: longer than 5 characters'
    """
    place = [part for part in error["loc"] if part != "body"]
    names = [f"number {part + 1}" if isinstance(part, int) else str(part) for part in place]
    context = error.get("ctx", {})
    said = {
        "string_too_long": f"longer than {context.get('max_length', 0):,} characters",
        "string_pattern_mismatch": "there is no text",
        "too_long": f"more than {context.get('max_length')}",
        "too_short": f"fewer than {context.get('min_length')}",
        "missing": "is missing",
        "extra_forbidden": "is unknown",
        "json_invalid": "not JSON",
    }.get(error["type"], str(error.get("msg", "not what is expected")))
    return f"{', '.join(names) or 'the request'}: {said}"


def _add_page(app: FastAPI) -> None:
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in KINDS}

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return Response(files["index.html"].read_bytes(), media_type="text/html")

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in files:  # names of known files alone: no path is made of what was asked
            raise HTTPException(404, "no such file")
        return Response(files[name].read_bytes(), media_type=KINDS[files[name].suffix])


def _add_state(app: FastAPI, served: Served) -> None:
    limits = {name.lower(): value for name, value in vars(forms).items() if name.startswith("MOST_")}

    @app.get("/api/state")
    def state() -> dict[str, Any]:
        corpus = None
        if served.search is not None:
            progress = served.search.progress()
            errors = served.search.errors()
            corpus = {
                "name": served.search.corpus.path.resolve().name,
                "texts": len(served.search.corpus.texts),
                "datasets": served.search.corpus.datasets,
                "encoded": dict(progress),
                "errors": errors,
            }
        return {
            "encoders": [
                {"name": encoder.name, "dimensions": encoder.dimensions, "similarity": encoder.similarity}
                for encoder in served.encoders.values()
            ],
            "corpus": corpus,
            "mixtures": {} if served.batches is None else served.batches.mixtures,
            "datasets": {} if served.batches is None else served.batches.datasets,
            "limits": limits,
            "routes": described(),
        }


def _add_comparisons(app: FastAPI, served: Served) -> None:
    @app.post("/api/similarity")
    def similarity(form: forms.SimilarityForm) -> dict[str, Any]:
        encoders = [served.encoder(name) for name in form.encoders or served.encoders]
        return {
            "encoders": [
                {"name": one.name, "similarity": one.similarity, "scores": compare(one, form.main, form.others)}
                for one in encoders
            ]
        }

    @app.post("/api/answers")
    def answers(form: forms.AnswersForm) -> dict[str, Any]:
        encoder = served.encoder(form.encoder)
        scores = compare(encoder, form.query, form.answers, ("query", "document"))
        chances = softmax([encoder.scale * score for score in scores])
        order = sorted(range(len(scores)), key=lambda number: (-scores[number], number))
        return {
            "encoder": encoder.name,
            "scale": encoder.scale,
            "ranking": [{"number": number, "score": scores[number], "likelihood": chances[number]} for number in order],
        }


def compare(
    encoder: SharedEncoder, main: str, others: Sequence[str], sides: tuple[Side, Side] = ("default", "default")
) -> list[float]:
    """The similarity of a text with each of the others, in float64; `sides` are its and theirs."""
    own, theirs = sides
    each: Sequence[Side] = (own, *(theirs for _ in others))
    vectors = encoder.encode([main, *others], each).astype(np.float64)
    return (vectors[1:] @ vectors[0]).tolist()


def softmax(logits: Sequence[float]) -> list[float]:
    """Positive numbers that sum to 1.

    >>> softmax([1.0, 1.0])
    [0.5, 0.5]
    """
    greatest = max(logits)
    powers = [math.exp(logit - greatest) for logit in logits]
    total = math.fsum(powers)
    return [power / total for power in powers]


def _add_search(app: FastAPI, served: Served) -> None:
    def corpus() -> Search:
        if served.search is None:
            raise ValueError("there is no corpus to search; start the page with --corpus PATH")
        return served.search

    @app.post("/api/search")
    def search(form: forms.SearchForm) -> dict[str, Any]:
        return corpus().hits(served.encoder(form.encoder), _asked(form), form.hits)

    @app.post("/api/map")
    def map_(form: forms.MapForm) -> dict[str, Any]:
        return corpus().map(served.encoder(form.encoder), _asked(form), form.points)

    @app.get("/api/text/{number}")
    def text(number: int) -> dict[str, Any]:
        texts = corpus().corpus.texts
        if not 0 <= number < len(texts):
            raise HTTPException(404, f"no text {number}; expected 0 to {len(texts) - 1}")
        return {"number": number, **texts[number]._asdict()}


def _asked(form: forms.SearchForm | forms.MapForm) -> str | int:
    if form.query is not None and form.number is None:
        return form.query
    if form.number is not None and form.query is None:
        return form.number
    raise ValueError("expected query or number, one of the two")


def _add_bias(app: FastAPI, served: Served) -> None:
    bias = Bias()

    @app.post("/api/bias")
    def preference(form: forms.BiasForm) -> dict[str, Any]:
        return bias.preference(served.encoder(form.encoder), form.anchor, form.female, form.male)

    @app.get("/api/bias/occupations")
    def occupations(encoder: str | None = None) -> dict[str, Any]:
        return bias.occupations(served.encoder(encoder))


def _add_batches(app: FastAPI, served: Served) -> None:
    @app.post("/api/batch")
    def batch(form: forms.BatchForm) -> dict[str, Any]:
        if served.batches is None:
            raise ValueError("there are no datasets to make batches of; start the page with --corpus FOLDER")
        asked = form.mixture if isinstance(form.mixture, str) else form.mixture.model_dump()
        return served.batches.picture(asked, form.step, form.size, PackShape(form.pairs, form.rows, form.tokens))
