"""The section `training` of a recipe: optimisation, groups of parameters, and the runs with their seeds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from actionbook.core.schema import Name, Strict
from actionbook.core.sections import Positive, Rate, Share

Seed = Annotated[int, Field(ge=0, lt=2**32)]
Norms = Literal["trained", "frozen", "frozen_but_first"]


class Run(Strict):
    """One training, repeated for each seed, with its differences from the recipe."""

    name: Name
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (1,)
    overrides: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Run:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"run {self.name!r}: seeds must differ, found {list(self.seeds)}")
        inner = self.overrides.get("training")
        given = [*self.overrides, *(f"training.{key}" for key in inner)] if isinstance(inner, dict) else self.overrides
        fixed = ("chapter", "name", "title", "streams", "training.runs", "training.result")
        whole = [key for key in fixed if key in given]
        if whole:
            raise ValueError(f"run {self.name!r}: {', '.join(whole)} belong to the whole recipe, not to overrides")
        return self


class Group(Strict):
    """Parameters that the optimiser treats apart; a parameter belongs to the first group that names it."""

    kind: Literal["norms", "biases", "named"]
    """Scales and shifts of normalisations; biases of other layers; those whose names begin with one of `prefixes`."""
    prefixes: tuple[str, ...] = ()
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """None: that of the whole training."""
    lr_factor: Rate = 1.0
    """Their rate, as a multiple of the others'."""

    @model_validator(mode="after")
    def _prefixes_where_named(self) -> Group:
        if (self.kind == "named") != bool(self.prefixes):
            raise ValueError(f"kind {self.kind!r} with prefixes {list(self.prefixes)}: prefixes belong to 'named'")
        return self


class Plateau(Strict):
    """The rate falls when the score stops rising (ECO-pytorch, main.py: ``num_saturate`` 5, 10 at each fall)."""

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """All rates that follow are multiplied by it, at every fall anew."""
    patience: Positive = 5
    """Evaluations in a row (see `validate_epochs`) that are no better than the best one before them, until it falls."""


class Training(Strict):
    """Optimisation. The defaults are those of the original program (facts: opts.py of okankop/Efficient-3DCNNs)."""

    epochs: Annotated[int, Field(ge=0)]
    """0 trains nothing: the initial weights are the result."""
    batch_size: Positive
    """Clips per step over all devices; the learning rate belongs to this number."""
    accumulate: Positive = 1
    """Micro-batches of a step: each device computes them one after the other, in the memory that one of them takes, and
    the step is made with the mean of their gradients (``iter_size`` of Caffe and ECO-pytorch). Batch norm sees one of
    them at a time. It divides `batch_size`."""
    reference_batch: Positive | None = None
    """Clips per step that the rates were chosen for; with another batch_size all rates change in proportion (Goyal et
    al., arXiv 1706.02677). None: the rates are taken as they are."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum and dampening, or Adam with its usual constants (0.9, 0.999, 1e-8)."""
    lr: Rate
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    dampening: Share = 0.9
    nesterov: bool = False
    """SGD looks ahead: the step is gradient + momentum * buffer (Sutskever et al., ICML 2013, in PyTorch's form).
    Without dampening, and with a momentum, only."""
    clip_norm: Rate | None = None
    """Gradients of all trained parameters together, as a vector, are shortened to this length where they are longer,
    right before the step (Pascanu et al., arXiv 1211.5063; ECO's solvers: clip_gradients 40). None: they never are."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    groups: tuple[Group, ...] = ()
    """Parameters with another decay or rate, such as no decay for norms and biases."""
    lr_steps: tuple[Positive, ...] = ()
    """Epochs after which the rate is multiplied by lr_factor."""
    lr_factor: Rate = 0.1
    lr_restarts: tuple[tuple[Positive, Rate], ...] = ()
    """(epoch, rate) pairs: after that epoch the rate is set anew, and later lr_steps go on from there."""
    plateau: Plateau | None = None
    """Beside these plans, the rate falls when the main score, as `validate_epochs` measures it, has stopped rising. It
    is that of test videos, as in the original: a training with a plateau has seen a little of them."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs in which the rate rises in equal steps from near 0 (the original has none; small batches like it)."""
    clips_per_video: Positive = 1
    """Training clips drawn from each video in one epoch."""
    trainable: tuple[str, ...] = ()
    """Prefixes of the parameters that are trained; the others are frozen, their batch norm as in evaluation.
    None named: all are trained."""
    norms: Norms = "trained"
    """Of batch norm, all are trained, none is, or the network's first one alone; the frozen ones keep to their moving
    statistics, scales and shifts (partial BN: Wang et al., Temporal Segment Networks, arXiv 1608.00859, section 3.2).
    Those that `trainable` freezes are frozen anyway."""
    amp_level: Literal["O0", "O1", "O2", "O3"] = "O0"
    loss_scale: Rate = 1.0
    checkpoint_epochs: Positive = 1
    """A checkpoint to resume from is written every so many epochs, and at the end."""
    checkpoint_steps: Positive | None = None
    """Within an epoch, one is also written every so many steps; None: at the end of epochs only."""
    cores: Positive | None = None
    """On a CPU, each training is a process of its own on so many cores, as many side by side as there are cores for
    (the number of threads has an influence on the last digits of a result). None: one after the other, on all cores."""
    hang_minutes: Rate = 30.0
    """A training on several devices is stopped when none of its figures has changed for so long."""
    keep_epochs: Annotated[int, Field(ge=0)] = 0
    """The networks of this many last epochs are kept, to be compared (the last one always is)."""
    validate_epochs: Positive = 1
    """The middle clips of the test videos are classified every so many epochs, and at the end: for people to look at,
    but what `plateau` goes by where there is one."""
    any_library: bool = False
    """Go on with a training that another version of the library began, instead of starting afresh."""
    runs: tuple[Run, ...] = (Run(name="clip"),)
    """The trainings of this recipe, in order: a run may start from what an earlier one has learned."""
    result: Name | None = None
    """The run whose first seed is converted and evaluated; None: the first."""

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        for name, epochs in (("lr_steps", self.lr_steps), ("lr_restarts", tuple(e for e, _ in self.lr_restarts))):
            if list(epochs) != sorted(set(epochs)):
                raise ValueError(f"the epochs of {name} must rise, found {list(epochs)}")
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate {self.accumulate} does not divide batch_size {self.batch_size}")
        if self.nesterov and (self.optimizer != "sgd" or self.dampening or not self.momentum):
            raise ValueError(
                "nesterov needs optimizer sgd, dampening 0 and a momentum above 0, found "
                f"optimizer {self.optimizer}, dampening {self.dampening:g}, momentum {self.momentum:g}"
            )
        names = [run.name for run in self.runs]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"runs need different names and at least one, found {names}")
        if self.result not in (None, *names):
            raise ValueError(f"result {self.result!r} is none of the runs {names}")
        return self
