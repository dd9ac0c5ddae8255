"""Students of teachers' states: the whole catalogue, and hidden states."""

import dataclasses
import json
import math
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import config, task
from podway.framework.compression.distil import Distil
from podway.framework.compression.distillation import lessons, soft_targets, states, teachers
from podway.framework.compression.distillation.next_item import NextItemStudent
from podway.framework.compression.tune import Tune
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.dcn import Dcn
from podway.framework.models.decoder import Decoder
from podway.framework.models.ease import Ease
from podway.framework.models.hstu import Hstu
from podway.framework.models.ials import Ials
from podway.framework.models.sasrec import SasRec
from podway.framework.models.sequence_knn import SequenceKnn
from podway.framework.models.two_tower import TwoTower
from podway.framework.runs import checkpoint, run
from podway.framework.schema.schema import FIRST_VALUE
from podway.framework.training import fitting, loop
from tests import forked, xla
from tests.framework import experiments, rows

SMALL = SasRec(width=8, blocks=1, heads=1, feed_forward=2, max_length=8)
STEP = Distil(model=SMALL, top=None, hidden_weight=0.5, temperature=2.0, steps=12)
FIELD = "compression.top = None"


@pytest.fixture(scope="module")
def factored(walks, dataset, workdir):
    experiment = dataclasses.replace(walks, name="ials", model=Ials(width=4))
    return fitting.fit(experiment, dataset, workdir)


@pytest.fixture(scope="module")
def both(trained, factored, dataset):
    """One that has a state for each item, and one that is asked for each beginning."""
    return teachers.found((str(trained), f"ials/{factored.name}"), trained, dataset)


def check_states(found, dataset, widths):
    """States times vectors say what the teachers' scores say."""
    read = states.readings(found, dataset.schema, FIELD)
    names = [f"states {number}" for number in range(len(found))]
    said = states.states(found, dataset, read, names)(0)
    tables = states.tables(found, dataset.schema, read, names)
    assert [said[name].shape[1] for name in names] == widths
    item = dataset.blocks("train").read(np.array([0]), ["item"])["item"]
    np.testing.assert_array_equal(np.diff(item.offsets), said["lengths"])
    targets = soft_targets.soft_targets(found, dataset, top=5, temperature=2.0)(0)
    known = slice(FIRST_VALUE, dataset.schema["item"].size)
    each = [said[name] @ tables[name][known].T / 2.0 for name in names]
    mean = np.mean([np.asarray(jax.nn.softmax(one)) for one in each], axis=0)
    own = np.take_along_axis(mean, targets["ids"] - FIRST_VALUE, axis=1)
    np.testing.assert_allclose(np.exp(targets["log_probabilities"]), own, rtol=2e-3)
    np.testing.assert_allclose(own, -np.sort(-mean, axis=1)[:, :5], rtol=2e-3)


def test_states_and_vectors_say_what_the_teachers_scores_say(both, dataset):
    check_states(both, dataset, [16, 4])


@pytest.mark.parametrize(
    "model",
    [
        Hstu(width=8, blocks=1, heads=2, max_length=8, time_buckets=30),
        Bert4Rec(width=8, blocks=1, feed_forward=2, max_length=8),
        TwoTower(width=8, hidden=8, max_length=8),
    ],
    ids=lambda model: type(model).__name__,
)
def test_states_of_other_models_do_so_too(model, walks, dataset):
    _, parameters = experiments.noisy(model, dataset.schema)
    experiment = dataclasses.replace(walks, model=model)
    check_states([teachers.Teacher(None, experiment, "1", parameters)], dataset, [8])  # type: ignore[arg-type]


def test_which_models_have_states(dataset):
    def has(model):
        return states.reading(model, dataset.schema) is not None

    assert all(map(has, (SMALL, Decoder(width=8), Ials(), Bert4Rec(width=8), TwoTower(width=8))))
    assert not any(map(has, (Ease(), SequenceKnn())))


@pytest.fixture(scope="module")
def student(walks, trained, dataset, workdir):
    experiment = dataclasses.replace(config.compressed(walks, STEP), name="of_states")
    return loop.train(experiment, dataset, workdir, before=trained).directory


def test_a_run_keeps_what_its_loss_needs_and_hands_on_none_of_it(student, dataset):
    _, manifest, parameters = run.load(student)
    own = jax.eval_shape(lambda: task.initialize(SMALL, dataset.schema, jax.random.key(0)))
    assert {path: array.shape for path, array in parameters.items()} == {
        path: array.shape for path, array in own.items()
    }
    stored = checkpoint.stored(student / "checkpoints", manifest.details["selected_step"])
    beside = sorted(path for path in stored if "distillation" in path)
    assert [path for path in beside if path.startswith("parameters")] == [
        "parameters.distillation/0/constants/table",
        "parameters.distillation/0/projection",
    ]
    assert len([path for path in beside if "projection" in path]) == 3  # two moments of Adam
    assert len([path for path in beside if "table" in path]) == 1
    for name in ("soft_loss", "hard_loss", "hidden_loss"):
        assert name in (student / "metrics.jsonl").read_text()


def test_the_projection_is_trained_and_the_teachers_vectors_are_not(student, trained, dataset):
    end = checkpoint.load(str(student / "checkpoints"), 12, ("parameters.", "optimizer."))
    (moment,) = [path for path in end if path.endswith("mu.distillation/0/projection")]
    assert np.abs(end[moment]).max() > 0
    table = run.load(trained)[2]["item/embedding"]
    size = dataset.schema["item"].size
    kept = end["parameters.distillation/0/constants/table"]
    np.testing.assert_array_equal(kept[:size], table[:size])


def test_who_was_interrupted_learns_the_same(
    student, walks, trained, dataset, workdir, monkeypatch
):
    experiment = dataclasses.replace(config.compressed(walks, STEP), name="states_again")
    with experiments.breaking(monkeypatch, 8), pytest.raises(OSError, match="disk is broken"):
        loop.train(experiment, dataset, workdir, before=trained)
    monkeypatch.setattr(states, "tables", None)  # Vectors and states are there by now.
    monkeypatch.setattr(teachers, "sharpness", None)
    again = loop.train(experiment, dataset, workdir, before=trained).directory
    found, expected = (
        checkpoint.load(str(each / "checkpoints"), 12, ("parameters.", "optimizer."))
        for each in (again, student)
    )
    assert found.keys() == expected.keys()
    for path, array in found.items():
        np.testing.assert_array_equal(array, expected[path], err_msg=path)


def test_whoever_goes_on_with_a_student_asks_for_its_model_alone(
    walks, student, dataset, workdir, capsys
):
    of_states = dataclasses.replace(config.compressed(walks, STEP), name="of_states")
    tuned = config.compressed(of_states, Tune(steps=1))
    directory = loop.train(tuned, dataset, workdir, before=student).directory
    own = run.load(student)[2]
    assert f"{len(own)} of {len(own)} parameters" in capsys.readouterr().out
    assert run.load(directory)[2].keys() == own.keys()


def test_a_student_may_go_on_with_its_own_parameters(walks, trained, dataset, workdir, capsys):
    step = Distil(top=8, hidden_weight=1.0, steps=2, teachers=("first", "first"))
    experiment = dataclasses.replace(config.compressed(walks, step), name="goes_on")
    directory = loop.train(experiment, dataset, workdir, before=trained).directory
    before, after = (run.load(each)[2] for each in (trained, directory))
    assert before.keys() == after.keys()
    assert f"{len(before)} of {len(before)} parameters" in capsys.readouterr().out
    stored = checkpoint.stored(directory / "checkpoints", 2)
    assert sorted(path for path in stored if path.startswith("parameters.distillation")) == [
        "parameters.distillation/0/projection",  # for each teacher, and no item vectors
        "parameters.distillation/1/projection",
    ]


def test_teachers_without_states_are_refused(walks, trained, dataset, workdir):
    ease = fitting.fit(dataclasses.replace(walks, name="e", model=Ease()), dataset, workdir)
    for changes, field in (
        ({"top": None}, "top = None"),
        ({"hidden_weight": 1.0}, "hidden_weight"),
    ):
        step = Distil(model=SMALL, teachers=(f"e/{ease.name}",), **changes)
        with pytest.raises(ConfigError, match=rf"^compression.{field} needs teachers whose scores"):
            step.read(SMALL, dataset, trained)


def test_wrong_fields_are_named(walks):
    with pytest.raises(ConfigError, match=r"compression.top is 0; give 1 or more, or None"):
        Distil(top=0)
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match=r"compression.hidden_weight is .*; give 0 or more"):
            Distil(hidden_weight=wrong)
    ranker = dataclasses.replace(walks, model=rows.MODELS["dcn"])
    assert isinstance(ranker.model, Dcn)
    with pytest.raises(ConfigError, match=r"compression.hidden_weight is 1.0, and Dcn has no"):
        config.compressed(ranker, Distil(hidden_weight=1.0))


def test_lessons_of_two_folders_lie_beside_each_other(both, trained, dataset, workdir):
    step = Distil(model=SMALL, top=3, hidden_weight=1.0)
    found: Any = step.read(SMALL, dataset, trained)
    assert found.folder_of("teacher_ids") != found.folder_of("teacher_states_0")
    names = ["teacher_states_0", "item", "teacher_ids"]
    read = found.blocks("train").read(np.array([0, 1]), names)
    assert list(read) == names
    assert [read[name].values.shape[1:] for name in names] == [(16,), (), (3,)]
    for name in names:
        np.testing.assert_array_equal(read[name].offsets, read["item"].offsets)
    # The temperature is no matter of the states: whoever has another one reads the same.
    other: Any = dataclasses.replace(step, temperature=3.0).read(SMALL, dataset, trained)
    assert other.folder_of("teacher_states_0") == found.folder_of("teacher_states_0")
    assert other.folder_of("teacher_ids") != found.folder_of("teacher_ids")


MODELS = {
    "sasrec": dataclasses.replace(SMALL, dropout=0.0),
    "decoder": Decoder(width=8, layers=1, heads=2, kv_heads=1, head_width=4, feed_forward=8),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_student_has_the_gradient_of_the_plain_formula(model, dataset):
    """Of all three losses; the second history is padded, and what the teacher says there is no
    number."""
    schema = dataset.schema
    width, size, temperature = 6, schema["item"].size, 2.0
    item = jnp.array([[2, 5, 9, 7, 3], [4, 8, 0, 0, 0]])
    taught = np.random.default_rng(1).normal(size=(2, 5, width)).astype(np.float32)
    taught[1, 2:] = np.nan
    batch = {"item": item, "teacher_states_0": jnp.asarray(taught)}
    feature = lessons.Feature("teacher_states_0", lessons.LESSON, "float32", True, shape=(width,))
    schema = lessons.Schema((*schema.features, feature))

    def student(weight, hidden_weight):
        return NextItemStudent(
            model, temperature, weight, whole=True, hidden_weight=hidden_weight, teachers=1
        )

    graph, parameters = experiments.noisy(student(0.4, 3.0), schema)
    assert "distillation/0/constants/table" in parameters

    def states_of(parameters):
        read = {"item": EmbeddedRows(parameters["item/embedding"][item], item)}
        module = task.merge(graph, parameters)
        return module, read, model.predictions(module, {"item": item}, read, task.ForwardContext())

    def ours(parameters):
        module, read, _ = states_of(parameters)
        return student(0.4, 3.0).loss(module, batch, read, task.ForwardContext())[0]

    def plain(parameters):
        _, _, each = states_of(parameters)
        table = parameters["distillation/0/constants/table"]
        at = np.array([0, 0, 0, 0, 1]), np.array([0, 1, 2, 3, 0])  # what has a next item
        hidden, said, own = each.hidden[at], taught[at], each.table[FIRST_VALUE:size]
        p = jax.nn.softmax(said @ table[FIRST_VALUE:size].T / temperature)
        log_q = jax.nn.log_softmax(hidden @ own.T / temperature)
        soft = temperature**2 * (p * (jnp.log(p) - log_q)).sum(1)
        log_q = jax.nn.log_softmax(hidden @ own.T)
        hard = -jnp.take_along_axis(log_q, each.targets[at][:, None] - FIRST_VALUE, axis=1)[:, 0]
        projected = hidden @ parameters["distillation/0/projection"]
        lengths = jnp.linalg.norm(projected, axis=1) * jnp.linalg.norm(said, axis=1)
        cosine = (projected * said).sum(1) / lengths
        return (0.4 * soft + 0.6 * hard + 3.0 * (2 - 2 * cosine)).mean()

    value, gradient = jax.jit(jax.value_and_grad(ours))(parameters)
    expected, wanted = jax.jit(jax.value_and_grad(plain))(parameters)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for path in parameters.keys() - {"distillation/0/constants/table"}:
        np.testing.assert_allclose(gradient[path], wanted[path], atol=3e-6, err_msg=path)
    assert np.abs(gradient["distillation/0/projection"]).max() > 1e-3


@pytest.mark.slow
def test_several_devices_learn_what_one_learns(trained, dataset):
    command = ["tests.framework.compression.students", str(dataset.directory), str(trained)]
    forced = {"XLA_FLAGS": xla.flags(devices=8), "JAX_PLATFORMS": "cpu"}
    result = forked.run(command, imports=forked.TRAINING, cwd=forked.ROOT, env=os.environ | forced)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "rematerialization" not in result.stderr, "the partitioner replicated an array"
    losses = json.loads(result.stdout.splitlines()[-1])
    assert len(losses) == 6
    for found in losses.values():
        np.testing.assert_allclose(found, losses["1 whole"], rtol=1e-5)
