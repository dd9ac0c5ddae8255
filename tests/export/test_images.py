"""From IDX files to a served classifier, whose pixels go in as they are."""

import jax
import numpy as np
import pytest
import tensorflow as tf

from podway.beam.dataset import build
from podway.beam.formats import idx
from podway.export import stage
from podway.framework import task
from podway.framework.config import Columns, Experiment, Export, GlobalTime, Idx, RowExamples
from podway.framework.config.features import Label, Pixels
from podway.framework.heads import Classes
from podway.framework.input.batches import row_batches
from podway.framework.input.dataset import Dataset
from podway.framework.models.convnet import ConvNet
from tests.beam.conftest import make_data
from tests.beam.formats.test_idx import HEIGHT, WIDTH, images, write
from tests.framework.experiments import said


@pytest.fixture
def experiment(tmp_path, monkeypatch) -> Experiment:
    monkeypatch.setattr(idx, "BLOCK_IMAGES", 1)
    write(tmp_path, "train", images(30, 0), [at % 3 for at in range(30)])
    data = make_data(
        tmp_path / "train-images-idx3-ubyte",
        format=Idx(parts=("train",)),
        columns=Columns(user="name", item="label", time="block"),
        features=(Pixels("image", size=HEIGHT * WIDTH), Label("class", column="label")),
        examples=RowExamples(),
        split=GlobalTime(),
    )
    model = ConvNet(
        objectives=(Classes("class", classes=3),),
        height=HEIGHT,
        width=WIDTH,
        filters=(2,),
        hidden=4,
    )
    return Experiment("clothes", data, model, export=Export(batch_buckets=(1, 4)))


def test_images_are_served_as_they_are_evaluated(experiment, tmp_path):
    """The export verifies itself in a fresh process; here the dataset's own rows are asked for."""
    dataset = Dataset.open(build(experiment.data, tmp_path / "w"))
    parameters = jax.device_get(
        task.initialize(experiment.model, dataset.schema, jax.random.key(0))
    )
    inputs = {"run": "r", "dataset": "d"}
    published = stage.export(
        stage.served(experiment, dataset),
        parameters=parameters,
        inputs=inputs,
        workdir=tmp_path / "w",
    )
    served = tf.saved_model.load(str(published)).signatures["serving_default"]
    (batch,) = row_batches(dataset, "train", {"image": 1}, 24)
    found = served(image=tf.constant(batch.columns["image"]))["class"].numpy()
    model = experiment.model
    logits = said(model, model.predict, dataset.schema, parameters, **batch.columns)["class"]
    np.testing.assert_allclose(found, jax.nn.softmax(logits), rtol=1e-4, atol=1e-6)
    assert np.ptp(found, axis=0).max() > 1e-3, "images are told apart"
