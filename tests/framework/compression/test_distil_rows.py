import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from podway.framework import config, task
from podway.framework.compression.distil import Distil
from podway.framework.compression.distillation import row_teachers, teachers
from podway.framework.compression.distillation.next_item import NextItemStudent
from podway.framework.compression.distillation.rows import soft_loss
from podway.framework.compression.distillation.student import LOGITS
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.heads import Binary, Classes, Regression
from podway.framework.input.batches import row_batches
from podway.framework.models.dcn import Dcn
from podway.framework.models.decoder import Decoder
from podway.framework.runs import run
from podway.framework.schema.schema import FIRST_VALUE
from podway.framework.training import loop
from tests.framework import experiments, rows

OPTIONS = {"steps": 6, "evaluate_every": 6, "checkpoint_every": 6, "batch_size": 64}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return rows.write(epath.Path(tmp_path_factory.mktemp("rows")) / "dataset")


@pytest.fixture(scope="module")
def ranker() -> config.Experiment:
    walks = experiments.walks(**OPTIONS)
    return dataclasses.replace(walks, name="ranker", model=rows.MODELS["dcn"])


@pytest.fixture(scope="module")
def teacher(ranker, labelled, workdir):
    return loop.train(ranker, labelled, workdir).directory


def test_lessons_are_the_teachers_logits_of_each_row(teacher, ranker, labelled):
    student = Dcn(objectives=(Regression("amount"), Binary("click")))
    (found,) = teachers.found((), teacher, labelled)
    said = row_teachers.logits([found], student, labelled)(0)["logits"]
    lengths = {
        name: length
        for name, length in ranker.model.lengths(labelled.schema).items()
        if name not in ("click", "amount")
    }
    first = next(iter(row_batches(labelled, "train", lengths, 64))).columns
    model, parameters = ranker.model, found.parameters
    expected = experiments.said(model, model.predict, labelled.schema, parameters, **first)
    assert said.shape == (64, 2)
    np.testing.assert_allclose(said[:, 0], expected["amount"], atol=1e-5)
    np.testing.assert_allclose(said[:, 1], expected["click"], atol=1e-5)


def test_a_ranker_learns_from_another_one(teacher, ranker, labelled, workdir):
    small = dataclasses.replace(ranker.model, width=4, layers=1, deep=(8,))
    experiment = config.compressed(ranker, Distil(model=small, steps=6))
    directory = loop.train(experiment, labelled, workdir, before=teacher).directory
    _, manifest, parameters = run.load(directory)
    assert manifest.inputs["parent"] == teacher.name
    assert not [path for path in parameters if LOGITS in path]  # it is no feature
    assert "soft_loss" in (directory / "metrics.jsonl").read_text()


def test_teachers_know_the_students_labels(teacher, labelled):
    found = teachers.found((), teacher, labelled)
    student = Dcn(objectives=(Classes("level", classes=3),))
    with pytest.raises(ConfigError, match=r"predicts \['click', 'amount'\], and the student"):
        row_teachers.logits(found, student, labelled)


def test_soft_losses_by_hand():
    z, t = jnp.array([0.5, -2.0]), jnp.array([1.5, -2.0])
    p, q = (np.asarray(jax.nn.sigmoid(each / 2)) for each in (t, z))
    kl = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    np.testing.assert_allclose(soft_loss(Binary("a"), z, t, 2.0), 4 * kl, atol=1e-6)
    np.testing.assert_allclose(soft_loss(Regression("a"), z, t, 2.0), [1, 0])
    z, t = (jnp.stack([each, -each], axis=1) / 2 for each in (z, t))
    both = soft_loss(Classes("a", classes=2), z, t, 2.0)
    np.testing.assert_allclose(both, 4 * kl, atol=1e-6)


def test_a_decoder_has_the_gradient_of_both_losses(dataset):
    """With one known item of probability 1 the soft loss is the hard one of that item."""
    model = Decoder(width=8, layers=1, heads=2, kv_heads=1, head_width=4, feed_forward=8)
    graph, parameters = experiments.noisy(model, dataset.schema)
    item = jnp.array([[2, 5, 9, 7, 3]])
    batch = {
        "item": item,
        "teacher_ids": jnp.pad(item[:, 1:], ((0, 0), (0, 1)))[..., None],
        "teacher_log_probabilities": jnp.zeros((1, 5, 1)),
    }

    def loss(parameters, weight):
        read = {"item": EmbeddedRows(parameters["item/embedding"][item], item)}
        student, context = NextItemStudent(model, 1.0, weight), task.ForwardContext()
        return student.loss(task.merge(graph, parameters), batch, read, context)[0]

    assert int(item.min()) >= FIRST_VALUE
    gradient = jax.jit(jax.grad(loss))
    found = [gradient(parameters, weight) for weight in (0.0, 1.0, 0.4)]
    for path, hard in found[0].items():
        for other in found[1:]:
            np.testing.assert_allclose(other[path], hard, atol=1e-6)
