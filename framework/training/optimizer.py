"""Optimizers: optax chains, each built by the dataclass that stands in the config.

Rows of sparse embedding tables follow optimizers of their own (framework/embedding/optimizer.py),
along the same schedule.
"""

import dataclasses
import re
from typing import Any

import optax
from optax import contrib

from podway.framework.error import ConfigError, check
from podway.framework.training.schedule import Schedule, Scheduled


@dataclasses.dataclass(frozen=True)
class AdamW(Scheduled):
    """AdamW (Loshchilov & Hutter, 2019, arXiv:1711.05101): the one to begin with.

    It forgives most learning rates, and embeddings of rare items move as fast as those of frequent
    ones. It keeps two numbers for each parameter.
    """

    weight_decay: float = 0.0
    """Decoupled weight decay, on all but biases and the scales of norms."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.98
    """Decay of the mean of squared gradients."""

    def __post_init__(self):
        super().__post_init__()
        _check_shares(self, "beta1", "beta2")
        _check_decay(self)

    def following(self, rate: Schedule) -> optax.GradientTransformation:
        """See Scheduled."""
        return optax.adamw(
            rate, b1=self.beta1, b2=self.beta2, weight_decay=self.weight_decay, mask=_decays
        )


@dataclasses.dataclass(frozen=True)
class Lion(Scheduled):
    """Lion (Chen et al., 2023, arXiv:2302.06675): every number moves by the learning rate, up or
    down, by the sign of its momentum.

    For large batches and large models: it keeps one number for each parameter, half of AdamW's two.
    Its learning rate is three to ten times smaller than AdamW's, its weight decay as much larger.
    With small batches the signs are noise, and AdamW is better.
    """

    learning_rate: float = 1e-4
    """Peak learning rate."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on all but biases and the scales of norms."""
    beta1: float = 0.9
    """Share of the momentum, beside the gradient, in what the sign is taken of."""
    beta2: float = 0.99
    """Decay of the momentum."""

    def __post_init__(self):
        super().__post_init__()
        _check_shares(self, "beta1", "beta2")
        _check_decay(self)

    def following(self, rate: Schedule) -> optax.GradientTransformation:
        """See Scheduled."""
        return optax.lion(
            rate, b1=self.beta1, b2=self.beta2, weight_decay=self.weight_decay, mask=_decays
        )


@dataclasses.dataclass(frozen=True)
class Muon(Scheduled):
    """Muon (Jordan et al., 2024): the momentum of a matrix, with all singular values made alike.

    For transformers whose matrices are most of the model: fewer steps than AdamW to the same loss,
    at five to ten matrix products more for each matrix and step. All kernels that `adam` does not
    name are matrices; all else, embeddings above all, follows AdamW without weight decay. The steps
    are scaled to the size of AdamW's (Liu et al., 2025, arXiv:2502.16982), so one learning rate
    serves both, and one that was found for AdamW is a good first one.
    """

    weight_decay: float = 0.0
    """Decoupled weight decay of the matrices."""
    momentum: float = 0.95
    """Decay of the matrices' momentum (Nesterov's)."""
    adam: tuple[str, ...] = (r"(.*/)?(head|answers?|gates?)/.*",)
    """Patterns of whole parameter paths that follow AdamW though they are kernels: the last layer,
    as a rule."""
    beta1: float = 0.9
    """Decay of the mean of gradients, where AdamW is followed."""
    beta2: float = 0.98
    """Decay of the mean of squared gradients, where AdamW is followed."""

    def __post_init__(self):
        super().__post_init__()
        _check_shares(self, "momentum", "beta1", "beta2")
        _check_decay(self)
        for pattern in self.adam:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"optimizer.adam: {pattern!r} is no pattern: {error}") from error

    def following(self, rate: Schedule) -> optax.GradientTransformation:
        """See Scheduled."""
        return contrib.muon(
            rate,
            beta=self.momentum,
            weight_decay=self.weight_decay,
            adam_b1=self.beta1,
            adam_b2=self.beta2,
            muon_weight_dimension_numbers=self.matrices,
            consistent_rms=_RMS_OF_ADAM,
        )

    def matrices(self, parameters: Any) -> Any:
        """Path → which dimensions of a parameter are a matrix's rows and columns; None: no matrix.

        What stands in the place of a parameter that others follow has no dimensions (optax's mask).
        Of three dimensions the first counts the matrices of a stack, as in `layers/…` of four,
        where heads and their width are one side of the matrix. Of other kernels of four the last
        counts the outputs, as those of a convolution do.
        """
        return {
            path: None
            if getattr(array, "ndim", 0) < 2
            or path.rpartition("/")[2] != "kernel"
            or any(re.fullmatch(pattern, path) for pattern in self.adam)
            else _matrix(path, array.ndim)
            for path, array in parameters.items()
        }


@dataclasses.dataclass(frozen=True)
class Adafactor(Scheduled):
    """Adafactor (Shazeer & Stern, 2018, arXiv:1804.04235): of a matrix, the squared gradients by
    row and by column alone.

    For models whose optimizer state would not fit: beside the parameters it keeps next to nothing.
    Steps are relative to the size of each parameter, so the learning rate is about ten times
    AdamW's. There is no momentum; with small batches AdamW is better.
    """

    learning_rate: float = 1e-2
    """Peak learning rate, relative to the root mean square of each parameter."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on all but biases and the scales of norms."""
    decay_exponent: float = 0.8
    """The mean of squared gradients decays by 1 − (step + 1)^−decay_exponent."""
    clip: float = 1.0
    """Largest root mean square of a parameter's step, before the learning rate."""
    factored_from: int = 128
    """Second largest dimension from which a parameter's squared gradients are kept by row and by
    column; smaller ones are kept in full."""
    relative: bool = True
    """Whether steps are relative to the size of the parameter (at least .001), or absolute."""

    def __post_init__(self):
        super().__post_init__()
        _check_decay(self)
        check(
            0 < self.decay_exponent <= 1,
            f"optimizer.decay_exponent is {self.decay_exponent}; give more than 0, and 1 at most",
        )
        check(self.clip > 0, f"optimizer.clip is {self.clip}; give more than 0")
        check(
            self.factored_from >= 1,
            f"optimizer.factored_from is {self.factored_from}; give 1 or more",
        )

    def following(self, rate: Schedule) -> optax.GradientTransformation:
        """See Scheduled."""
        return optax.chain(
            optax.scale_by_factored_rms(
                decay_rate=self.decay_exponent, min_dim_size_to_factor=self.factored_from
            ),
            optax.clip_by_block_rms(self.clip),
            optax.scale_by_param_block_rms() if self.relative else optax.identity(),
            optax.add_decayed_weights(self.weight_decay, _decays),
            optax.scale_by_learning_rate(rate),
        )


@dataclasses.dataclass(frozen=True)
class MomentumSgd(Scheduled):
    """Stochastic gradient descent with momentum (Polyak, 1964; Sutskever et al., 2013).

    For convolutional nets on long schedules, where it can end better than AdamW, and as a baseline
    that keeps one number for each parameter, or none. Embeddings of rare items hardly move with it.
    The learning rate must be found: `podway lr-find`.
    """

    learning_rate: float = 0.1
    """Peak learning rate."""
    momentum: float = 0.9
    """Decay of the sum of gradients; 0: none is kept."""
    nesterov: bool = False
    """Whether to look ahead along the momentum (Nesterov)."""
    weight_decay: float = 0.0
    """Weight decay, added to the gradient, on all but biases and the scales of norms."""

    def __post_init__(self):
        super().__post_init__()
        _check_shares(self, "momentum")
        _check_decay(self)
        check(
            self.momentum > 0 or not self.nesterov,
            "optimizer.nesterov looks along the momentum, and optimizer.momentum is 0",
        )

    def following(self, rate: Schedule) -> optax.GradientTransformation:
        """See Scheduled."""
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay, _decays),
            optax.sgd(rate, momentum=self.momentum or None, nesterov=self.nesterov),
        )


_RMS_OF_ADAM = 0.2
"""Root mean square of AdamW's steps, as it was measured in language models."""


def _matrix(path: str, dimensions: int) -> contrib.MuonDimensionNumbers:
    stacked = dimensions == 3 or (dimensions > 3 and path.startswith("layers/"))
    inner = tuple(range(int(stacked), dimensions - 1))
    return contrib.MuonDimensionNumbers(inner, (dimensions - 1,))


def _decays(parameters: Any) -> dict[str, bool]:
    """Path → whether the parameter decays. Scales of stacked layers have two dimensions, too."""
    return {path: path.rpartition("/")[2] not in ("bias", "scale") for path in parameters}


def _check_shares(optimizer: Any, *fields: str) -> None:
    for field in fields:
        value = getattr(optimizer, field)
        check(0 <= value < 1, f"optimizer.{field} is {value}; give 0 to below 1")


def _check_decay(optimizer: Any) -> None:
    value = optimizer.weight_decay
    check(value >= 0, f"optimizer.weight_decay is {value}; give 0 or more")
