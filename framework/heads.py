"""What a label of rows is: how it is learnt, answered and evaluated.

A model gives one number per row and label, for Classes one per class: its logits. Labels are f32,
as the dataset has them.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from podway.framework.error import check
from podway.framework.metrics.labels import (
    Estimate,
    auc,
    calibration,
    expected_calibration_error,
    grouped_auc,
    logistic_loss,
    mean,
    normalized_entropy,
    root_mean_square,
    sigmoid,
    softmax_loss,
)

_RARE = 1e-6
"""Least probability of a baseline, so that no loss is infinite."""


@dataclasses.dataclass(frozen=True)
class Head:
    """What a label is, and how much it counts. Choose Binary, Regression or Classes."""

    label: str
    """Name of the label in the dataset (features.Label)."""
    weight: float = 1.0
    """Weight of its loss in the sum over the labels."""

    def __post_init__(self):
        check(
            self.weight >= 0, f"objectives: the weight of {self.label!r} is {self.weight}; give ≥ 0"
        )

    @property
    def outputs(self) -> int:
        """Logits per row."""
        return 1

    @property
    def selects(self) -> str:
        """The metric whose smallest value is best."""
        return "logloss"

    def check_labels(self, labels: np.ndarray) -> None:
        """Raises ConfigError where labels are none of this kind."""

    def loss(self, logits: Array, labels: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """Of each row, f32, from logits [batch] or [batch, classes]."""
        raise NotImplementedError

    def answer(self, logits: Array) -> Array:
        """Logits → what is served, of the same shape."""
        raise NotImplementedError

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """What is to be predicted, f64 [rows] or [rows, classes]; its mean is the best constant."""
        raise NotImplementedError

    def logits(self, means: np.ndarray) -> np.ndarray:
        """The f32 logits whose prediction is a mean of targets, [...] or [..., classes]."""
        raise NotImplementedError

    def measure(
        self, logits: np.ndarray, labels: np.ndarray, users: np.ndarray
    ) -> dict[str, Estimate | None]:
        """The metrics of all rows of a split; None: not defined on these labels."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Binary(Head):
    """A label of 0 or 1, whose probability is predicted: logistic loss (nats)."""

    def check_labels(self, labels: np.ndarray) -> None:
        """Zeros and ones."""
        wrong = labels[(labels != 0) & (labels != 1)]
        check(
            not len(wrong),
            f"the label {self.label!r} holds {wrong[:1]}, and objectives says that it is Binary:"
            " give its Label a threshold `above`, or make it a Regression",
        )

    def loss(self, logits: Array, labels: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """−log of the label's probability."""
        return jax.nn.softplus(logits) - labels * logits

    def answer(self, logits: Array) -> Array:
        """The probability of 1."""
        return jax.nn.sigmoid(logits)

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """The labels."""
        return labels.astype(np.float64)

    def logits(self, means: np.ndarray) -> np.ndarray:
        """The log odds."""
        means = means.clip(_RARE, 1 - _RARE)
        return np.log(means / (1 - means)).astype(np.float32)

    def measure(
        self, logits: np.ndarray, labels: np.ndarray, users: np.ndarray
    ) -> dict[str, Estimate | None]:
        """Ranking (auc, gauc), likelihood (logloss, normalized_entropy), calibration (ece)."""
        loss = logistic_loss(logits, labels)
        probability = sigmoid(logits)
        return {
            "auc": auc(logits, labels),
            "gauc": grouped_auc(logits, labels, users),
            "logloss": mean(loss),
            "normalized_entropy": normalized_entropy(loss, labels),
            "calibration": calibration(probability, labels),
            "ece": expected_calibration_error(probability, labels),
        }


@dataclasses.dataclass(frozen=True)
class Regression(Head):
    """A number, whose mean is predicted: squared error.

    With `log`, what is learnt and evaluated is sign(y)·log(1 + |y|), for amounts that spread over
    orders of magnitude; what is served is in the label's own unit again.
    """

    log: bool = False
    """Learn and evaluate the logarithm."""

    @property
    def selects(self) -> str:
        """Root mean squared error, of the logarithm where that is learnt."""
        return "rmsle" if self.log else "rmse"

    def loss(self, logits: Array, labels: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """The squared error."""
        return (logits - self._scaled(labels, jnp)) ** 2

    def answer(self, logits: Array) -> Array:
        """The number."""
        return jnp.sign(logits) * jnp.expm1(jnp.abs(logits)) if self.log else logits

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """The numbers, or their logarithms."""
        return self._scaled(labels.astype(np.float64), np)

    def logits(self, means: np.ndarray) -> np.ndarray:
        """The same."""
        return means.astype(np.float32)

    def measure(
        self, logits: np.ndarray, labels: np.ndarray, users: np.ndarray
    ) -> dict[str, Estimate | None]:
        """The root mean squared error."""
        errors = logits - self.targets(labels)
        return {self.selects: root_mean_square(errors)}

    def _scaled(self, labels: Any, numpy: Any) -> Any:
        return numpy.sign(labels) * numpy.log1p(numpy.abs(labels)) if self.log else labels


@dataclasses.dataclass(frozen=True)
class Classes(Head):
    """One of a few classes, labelled 0 … classes − 1: softmax cross-entropy (nats)."""

    classes: int = 2
    """How many there are."""

    def __post_init__(self):
        super().__post_init__()
        check(
            self.classes >= 2, f"objectives: {self.label!r} has {self.classes} classes; give 2 up"
        )

    @property
    def outputs(self) -> int:
        """One for each class."""
        return self.classes

    def check_labels(self, labels: np.ndarray) -> None:
        """Whole numbers below `classes`."""
        wrong = labels[(labels != np.floor(labels)) | (labels < 0) | (labels >= self.classes)]
        check(
            not len(wrong),
            f"the label {self.label!r} holds {wrong[:1]}, and objectives says that it has"
            f" {self.classes} classes: give whole numbers from 0 to {self.classes - 1}",
        )

    def loss(self, logits: Array, labels: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """−log of the class's probability."""
        picked = jnp.take_along_axis(logits, labels.astype(jnp.int32)[:, None], axis=1)[:, 0]
        return jax.nn.logsumexp(logits, axis=1) - picked

    def answer(self, logits: Array) -> Array:
        """The probabilities of the classes."""
        return jax.nn.softmax(logits)

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """1 for the class, 0 for the others."""
        return np.eye(self.classes)[labels.astype(np.int64)]

    def logits(self, means: np.ndarray) -> np.ndarray:
        """The logarithms of the shares."""
        return np.log(means.clip(_RARE)).astype(np.float32)

    def measure(
        self, logits: np.ndarray, labels: np.ndarray, users: np.ndarray
    ) -> dict[str, Estimate | None]:
        """Accuracy of the likeliest class, and likelihood."""
        return {
            "accuracy": mean(logits.argmax(1) == labels),
            "logloss": mean(softmax_loss(logits, labels)),
        }
