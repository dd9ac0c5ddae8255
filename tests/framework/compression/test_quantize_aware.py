import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import config
from podway.framework.compression.quantize import Int4, Int8
from podway.framework.compression.quantize_aware import QuantizationAware
from podway.framework.embedding.table import Embedding
from podway.framework.error import ConfigError
from podway.framework.formats import matrix
from podway.framework.models.ease import Ease
from podway.framework.models.parts.item_losses import SampledSoftmax
from tests.framework import experiments

ITEM, KERNEL = "item/embedding", "blocks/0/up/kernel"


@pytest.fixture
def parameters(dataset):
    return experiments.noisy(experiments.walks().model, dataset.schema)[1]


@pytest.mark.parametrize(
    ("aware", "storing"),
    [
        (QuantizationAware(), Int4()),
        (QuantizationAware(group=4), Int4(group=4)),
        (QuantizationAware(bits=8, dense=True), Int8(dense=True)),
    ],
    ids=repr,
)
def test_what_is_stored_is_what_was_trained_with(aware, storing, dataset, parameters):
    trained = jax.jit(aware.forward)(parameters, 1.0)
    stored = storing.stored(experiments.walks().model, dataset.schema, trained)
    read = {path: matrix.dense(each) for path, each in matrix.collect(stored).items()}
    assert read.keys() == trained.keys()
    for path, each in read.items():
        np.testing.assert_array_equal(each, trained[path], err_msg=path)
    assert not np.array_equal(trained[ITEM], parameters[ITEM])
    assert np.array_equal(trained[KERNEL], parameters[KERNEL]) == (not aware.dense)


def test_gradients_are_those_at_the_rounded_numbers(parameters):
    step = QuantizationAware(paths=(ITEM,))

    def loss(table):
        return jnp.sin(step.forward({ITEM: table}, 0.5)[ITEM]).sum()

    rounded = step.forward(parameters, 0.5)[ITEM]
    np.testing.assert_allclose(
        jax.grad(loss)(parameters[ITEM]), jnp.cos(rounded), rtol=1e-6, atol=1e-6
    )


def test_an_experiment_takes_its_steps_and_a_lower_rate():
    walks = experiments.walks()
    found = config.compressed(walks, QuantizationAware(steps=7, learning_rate=0.5), Int4())
    assert found.trainer.steps == found.trainer.evaluate_every == 7
    assert found.optimizer == dataclasses.replace(
        walks.optimizer, learning_rate=5e-3, warmup_steps=0
    )
    assert config.previous(config.previous(found)) == walks


def test_what_cannot_be_is_refused(dataset):
    walks = experiments.walks()
    with pytest.raises(ConfigError, match=r"bits is 5; give 4 or 8"):
        QuantizationAware(bits=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"group is 4, and 8 bits have one scale for a row"):
        QuantizationAware(bits=8, group=4)
    with pytest.raises(ConfigError, match=r"Ease is not trained in steps; store it in Int8"):
        config.compressed(dataclasses.replace(walks, model=Ease()), QuantizationAware())
    sparse = dataclasses.replace(
        walks.model, embedding=Embedding(), objective=SampledSoftmax(drawn_for="batch")
    )
    with pytest.raises(ConfigError, match=r"item/embedding is kept as a sparse table"):
        QuantizationAware().trained(sparse, dataset, None)
