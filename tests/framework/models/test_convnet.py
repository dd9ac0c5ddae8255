"""The classifier of images, against the same computation in NumPy, and on the trainer as it is."""

import jax
import numpy as np
import pytest

from podway.framework import task
from podway.framework.error import ConfigError
from podway.framework.heads import Classes
from podway.framework.models.convnet import ConvNet
from podway.framework.schema.schema import Feature, Schema

HEIGHT, WIDTH, CLASSES = 5, 6, 3
SCHEMA = Schema(
    (
        Feature("image", "feature", "uint8", shape=(HEIGHT * WIDTH,)),
        Feature("class", "label", "float32"),
    )
)
MODEL = ConvNet(
    objectives=(Classes("class", classes=CLASSES),),
    height=HEIGHT,
    width=WIDTH,
    filters=(2, 3),
    hidden=4,
)


@pytest.fixture(scope="module")
def parameters():
    return task.initialize(MODEL, SCHEMA, jax.random.key(0))


@pytest.fixture(scope="module")
def batch():
    draw = np.random.default_rng(0)
    return {
        "image": draw.integers(0, 256, (4, HEIGHT * WIDTH), np.uint8),
        "class": draw.integers(0, CLASSES, 4).astype(np.float32),
    }


def plainly(parameters, image):
    x = image.reshape(HEIGHT, WIDTH, 1) / 255
    for layer in range(2):
        kernel, bias = (
            np.asarray(parameters[f"convolutions/{layer}/{name}"]) for name in ("kernel", "bias")
        )
        height, width, _ = x.shape
        padded = np.pad(x, [(1, 1), (1, 1), (0, 0)])
        y = np.zeros((height, width, kernel.shape[-1]))
        for row in range(height):
            for column in range(width):
                patch = padded[row : row + 3, column : column + 3]
                y[row, column] = np.einsum("ijc,ijcf->f", patch, kernel) + bias
        y = np.maximum(y, 0)[: height // 2 * 2, : width // 2 * 2]
        x = y.reshape(height // 2, 2, width // 2, 2, -1).max((1, 3))
    weights = {name: np.asarray(each) for name, each in parameters.items()}
    hidden = np.maximum(x.reshape(-1) @ weights["hidden/kernel"] + weights["hidden/bias"], 0)
    return hidden @ weights["head/kernel"] + weights["head/bias"]


def test_logits_are_those_of_the_same_sums_in_numpy(parameters, batch):
    module = task.merge(task.structure(MODEL, SCHEMA), parameters)
    found = MODEL.predict(module, batch, {})["class"]
    expected = [plainly(parameters, image) for image in batch["image"]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_cross_entropy_of_the_logits(parameters, batch):
    module = task.merge(task.structure(MODEL, SCHEMA), parameters)
    loss, weight, _ = MODEL.loss(module, batch, {}, task.SERVING)
    logits = np.array([plainly(parameters, image) for image in batch["image"]])
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    picked = probabilities[np.arange(4), batch["class"].astype(int)]
    np.testing.assert_allclose(loss, -np.log(picked).mean(), rtol=1e-5)
    assert weight == 4


def test_dropout_needs_a_key(parameters, batch):
    module = task.merge(task.structure(MODEL, SCHEMA), parameters)
    plain = MODEL.predict(module, batch, {})["class"]
    assert np.array_equal(plain, MODEL.predict(module, batch, {})["class"])
    dropped = MODEL.predict(module, batch, {}, task.ForwardContext(jax.random.key(0)))["class"]
    assert not np.allclose(plain, dropped)


def test_what_does_not_fit_is_said():
    schema = Schema((Feature("image", "feature", "uint8", shape=(29,)), SCHEMA["class"]))
    with pytest.raises(ConfigError, match=r"5 × 6 × 1 is 30, and a value of image has .* \(29,\)"):
        task.initialize(MODEL, schema, jax.random.key(0))
    with pytest.raises(ConfigError, match=r"5 convolutions, each of which halves 28 × 28"):
        ConvNet(filters=(1, 2, 3, 4, 5))
