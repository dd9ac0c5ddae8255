"""What a label of rows is: how it is learnt, answered and evaluated.

A model gives one number per row and label, for Classes one per class: its logits. Labels are f32,
as the dataset has them.
"""

import dataclasses
import math
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from podway.framework.config.fields import later
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
    weighted_mean,
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

    @property
    def asks_counts(self) -> bool:
        """Whether the loss must know first how often the train split has each class."""
        return False

    def count(self, labels: np.ndarray) -> np.ndarray:
        """How often labels have each class. Raises ConfigError where they are none of this kind."""
        raise NotImplementedError

    def prepared(self, counts: np.ndarray | None) -> Self:
        """With what the loss takes from these counts of the train split; None: with any numbers,
        for a program that is not run. Raises ConfigError where they don't fit."""
        return self

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

    class_weights: tuple[float, ...] = later(())
    """How much a row of label 0 and one of label 1 count in the loss: (1, 9) gives positives a
    weight of 9. Probabilities are then too high or too low by as much. (): all count alike."""
    balanced: bool = later(False)
    """Take as class_weights what makes both labels count alike in the train split."""

    def __post_init__(self):
        super().__post_init__()
        _check_weights(self, 2)

    @property
    def selects(self) -> str:
        """The loss, with the weights where there are some."""
        return _selects(self)

    @property
    def asks_counts(self) -> bool:
        """Where it is to be balanced."""
        return self.balanced

    def count(self, labels: np.ndarray) -> np.ndarray:
        """How often labels have each class."""
        self.check_labels(labels)
        return _counts(labels, 2)

    def prepared(self, counts: np.ndarray | None) -> Self:
        """With class_weights where it is to be balanced."""
        return _balanced(self, np.ones(2) if counts is None else counts)

    def check_labels(self, labels: np.ndarray) -> None:
        """Zeros and ones."""
        wrong = labels[(labels != 0) & (labels != 1)]
        check(
            not len(wrong),
            f"the label {self.label!r} holds {wrong[:1]}, and objectives says that it is Binary:"
            " give its Label a threshold `above`, or make it a Regression",
        )

    def loss(self, logits: Array, labels: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """−log of the label's probability, times the label's weight."""
        return _weighted(self, jax.nn.softplus(logits) - labels * logits, labels)

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
            **_weighted_loss(self, loss, labels, 2),
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
    class_weights: tuple[float, ...] = later(())
    """How much a row counts in the loss, by its class. (): all count alike."""
    balanced: bool = later(False)
    """Take as class_weights what makes all classes count alike in the train split."""

    def __post_init__(self):
        super().__post_init__()
        check(
            self.classes >= 2, f"objectives: {self.label!r} has {self.classes} classes; give 2 up"
        )
        _check_weights(self, self.classes)

    @property
    def selects(self) -> str:
        """The loss, with the weights where there are some."""
        return _selects(self)

    @property
    def asks_counts(self) -> bool:
        """Where it is to be balanced."""
        return self.balanced

    def count(self, labels: np.ndarray) -> np.ndarray:
        """How often labels have each class."""
        self.check_labels(labels)
        return _counts(labels, self.classes)

    def prepared(self, counts: np.ndarray | None) -> Self:
        """With class_weights where it is to be balanced."""
        return _balanced(self, np.ones(self.classes) if counts is None else counts)

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
        """−log of the class's probability, times its weight."""
        picked = jnp.take_along_axis(logits, labels.astype(jnp.int32)[:, None], axis=1)[:, 0]
        return _weighted(self, jax.nn.logsumexp(logits, axis=1) - picked, labels)

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
        loss = softmax_loss(logits, labels)
        return {
            "accuracy": mean(logits.argmax(1) == labels),
            "logloss": mean(loss),
            **_weighted_loss(self, loss, labels, self.classes),
        }


def balance(counts: np.ndarray) -> np.ndarray:
    """A weight for each class, by its rows, so that all that there are have the same sum.

    rows / (classes that there are · rows of the class), whose mean over the rows is 1; of a class
    without rows 0.
    """
    there = counts > 0
    weights = counts.sum() / (max(there.sum(), 1) * np.maximum(counts, 1))
    return np.where(there, weights, 0.0)


def _counts(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels.astype(np.int64), minlength=classes)


H = TypeVar("H", Binary, Classes)


def _check_weights(head: Binary | Classes, classes: int) -> None:
    weights = head.class_weights
    check(
        not weights or not head.balanced,
        f"objectives: {head.label!r} is balanced, which says the class_weights: give one of both",
    )
    check(
        not weights or len(weights) == classes,
        f"objectives: {head.label!r} has {len(weights)} class_weights; give {classes}, one a class",
    )
    check(
        all(weight >= 0 and math.isfinite(weight) for weight in weights)
        and (not weights or any(weights)),
        f"objectives: the class_weights of {head.label!r} are {weights}; give numbers from 0, not"
        " all of them 0",
    )


def _selects(head: Binary | Classes) -> str:
    return "weighted_logloss" if head.balanced or head.class_weights else "logloss"


def _balanced(head: H, counts: np.ndarray) -> H:
    if not head.balanced:
        return head
    check(
        bool((counts > 0).all()),
        f"objectives: {head.label!r} is to be balanced, and no row of the train split has the label"
        f" {int(counts.argmin())}",
    )
    weights = tuple(float(weight) for weight in balance(counts))
    return dataclasses.replace(head, balanced=False, class_weights=weights)


def _weighted(
    head: Binary | Classes, loss: Float[Array, " batch"], labels: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    assert not head.balanced, "`prepared` comes first"
    if not head.class_weights:
        return loss
    return loss * jnp.asarray(head.class_weights, jnp.float32)[labels.astype(jnp.int32)]


def _weighted_loss(
    head: Binary | Classes, loss: np.ndarray, labels: np.ndarray, classes: int
) -> dict[str, Estimate | None]:
    """Where there are weights, the mean of the loss by them; those of a balanced head are of the
    labels that are measured."""
    if _selects(head) == "logloss":
        return {}
    weights = balance(_counts(labels, classes)) if head.balanced else np.array(head.class_weights)
    return {"weighted_logloss": weighted_mean(loss, weights[labels.astype(np.int64)])}
