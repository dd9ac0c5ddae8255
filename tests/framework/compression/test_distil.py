import dataclasses

import numpy as np
import pytest

from podway.framework import config
from podway.framework.compression.distil import Distil
from podway.framework.compression.distillation import histories, lessons, soft_targets, teachers
from podway.framework.compression.distillation.student import IDS, LOG_PROBABILITIES
from podway.framework.error import ConfigError
from podway.framework.input.batches import TrainBatches
from podway.framework.models.ease import Ease
from podway.framework.models.hstu import Hstu
from podway.framework.models.sasrec import SasRec
from podway.framework.runs import run
from podway.framework.schema.schema import FIRST_VALUE, Feature
from podway.framework.training import fitting, loop
from tests.framework import experiments

SMALL = SasRec(width=8, blocks=1, heads=1, feed_forward=2, max_length=8)
STEP = Distil(model=SMALL, top=6, temperature=2.0, steps=12)


def test_histories_are_cut_into_stretches_that_overlap_by_half():
    assert histories.stretches(np.array([0, 3, 3, 7]), 4).tolist() == [[0, 3, 0], [3, 7, 3]]
    # Of 11 values and a length of 4, two new ones at a time; the last stretch is whole, too.
    assert histories.stretches(np.array([0, 11]), 4).tolist() == [
        [0, 4, 0],
        [2, 6, 4],
        [4, 8, 6],
        [6, 10, 8],
        [7, 11, 10],
    ]


@pytest.mark.parametrize("options", [{"crop": "random"}, {"crop": "latest"}, {"pack": True}])
def test_a_lesson_stays_with_its_item_however_rows_are_read(options, dataset, workdir):
    def compute(block):
        item = dataset.blocks("train").read(np.array([block]), ["item"])["item"]
        values = item.values[:, None] * 10 + np.arange(2)
        return {"lesson": values.astype(np.int32), "lengths": np.diff(item.offsets)}

    feature = Feature("lesson", lessons.LESSON, "int32", True, shape=(2,))
    taught = lessons.teach(dataset, workdir / "by_hand", (feature,), {}, compute)
    again = lessons.teach(dataset, workdir / "by_hand", (feature,), {}, None)  # type: ignore[arg-type]
    read = [
        TrainBatches(
            each, {"item": 6, "lesson": 6}, batch_size=16, steps=20, seed=3, window=2, **options
        )
        for each in (taught, again)
    ]
    for index in (0, 13):
        batch = read[0][index]
        known = batch["item"] != 0
        expected = batch["item"][..., None] * 10 + np.arange(2)
        np.testing.assert_array_equal(batch["lesson"][known], expected[known])
        np.testing.assert_array_equal(batch["lesson"], read[1][index]["lesson"])


def test_what_cannot_be_read_is_named(dataset, workdir):
    feature = Feature("lesson", lessons.LESSON, "int32", True, shape=(2,))
    folder = workdir / "broken"
    taught = lessons.teach(dataset, folder, (feature,), {}, lambda block: {"lesson": np.ones(1)})
    (folder / "000001.npz").write_bytes(b"no zip")
    with pytest.raises(lessons.LessonError, match=r"000001.npz has no lessons that can be read"):
        taught.blocks("train").read(np.array([1]), ["lesson"])


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    logits = logits.astype(np.float64) / temperature
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def fitted(walks, dataset, workdir):
    experiment = dataclasses.replace(walks, name="ease", model=Ease(regularization=5.0))
    return fitting.fit(experiment, dataset, workdir)


def test_soft_targets_are_what_the_teachers_score_highest(walks, trained, fitted, dataset):
    names = (str(trained), f"ease/{fitted.name}")
    found = teachers.found(names, trained, dataset)
    sharp = [teachers.sharpness(each, dataset, 32) for each in found]
    assert sharp[0] == 1
    say = soft_targets.soft_targets(found, dataset, top=5, temperature=2.0)(0)
    item = dataset.blocks("train").read(np.array([0]), ["item"])["item"]
    np.testing.assert_array_equal(np.diff(item.offsets), say["lengths"])
    size = dataset.schema["item"].size
    for row in (0, 3, 7):
        begin, end = item.offsets[row : row + 2]
        count = min(8, end - begin)  # what all teachers have in their first stretch
        history = np.zeros((8, 8), np.int32)
        for at in range(count):
            history[at, : at + 1] = item.values[begin : begin + at + 1]
        each = [
            experiments.scores(t.experiment.model, dataset.schema, t.parameters, history) * factor
            for t, factor in zip(found, sharp, strict=True)
        ]
        each = [scores[:count, FIRST_VALUE:size] for scores in each]
        mean = np.mean([probabilities(scores, 2.0) for scores in each], axis=0)
        said = say["ids"][begin : begin + count] - FIRST_VALUE
        own = np.take_along_axis(mean, said, axis=1)
        np.testing.assert_allclose(
            np.exp(say["log_probabilities"][begin : begin + count]), own, 1e-3
        )
        np.testing.assert_allclose(own, -np.sort(-mean, axis=1)[:, :5], 1e-3)


def test_a_fitted_teacher_is_as_sharp_as_validation_says(fitted, dataset):
    (teacher,) = teachers.found((str(fitted),), fitted, dataset)
    doubled = dataclasses.replace(
        teacher, parameters={path: array * 2 for path, array in teacher.parameters.items()}
    )
    sharp = teachers.sharpness(teacher, dataset, 32)
    assert teachers.sharpness(doubled, dataset, 32) == sharp / 2


@pytest.fixture(scope="module")
def student(walks, trained, dataset, workdir):
    experiment = config.compressed(walks, STEP)
    return loop.train(experiment, dataset, workdir, before=trained).directory


def test_a_student_names_its_teacher_and_learns(student, trained):
    experiment, manifest, parameters = run.load(student)
    assert manifest.inputs["parent"] == trained.name
    assert parameters["item/embedding"].shape == (128, 8)
    assert experiment.model == SMALL
    lines = (student / "metrics.jsonl").read_text()
    assert "soft_loss" in lines
    assert "hard_loss" in lines


def test_who_was_interrupted_learns_the_same(
    student, walks, trained, dataset, workdir, monkeypatch
):
    experiment = dataclasses.replace(config.compressed(walks, STEP), name="again")
    with experiments.breaking(monkeypatch, 8), pytest.raises(OSError, match="disk is broken"):
        loop.train(experiment, dataset, workdir, before=trained)
    # Lessons are there by now: nobody asks a teacher again.
    monkeypatch.setattr(teachers, "sharpness", None)
    again = loop.train(experiment, dataset, workdir, before=trained).directory
    expected = run.load(student)[2]
    for path, array in run.load(again)[2].items():
        np.testing.assert_array_equal(array, expected[path])


def test_a_student_may_be_said_by_its_size(walks):
    small = config.compressed(walks, Distil(width=9, layers=1)).model
    assert small == dataclasses.replace(walks.model, width=9, blocks=1, heads=1)
    assert config.compressed(walks, Distil()).model == walks.model
    assert Distil().warm
    assert not Distil(width=9).warm
    with pytest.raises(ConfigError, match=r"compression.model says the student's width"):
        config.compressed(walks, Distil(model=SMALL, width=9))
    with pytest.raises(ConfigError, match=r"compression.layers: Ease has no layers"):
        config.compressed(dataclasses.replace(walks, model=Ease()), Distil(layers=1))


def test_the_first_run_of_a_chain_can_teach(student, trained, dataset):
    (found,) = teachers.found(("first",), student, dataset)
    assert found.folder == trained


def test_wrong_teachers_and_students_are_named(walks, trained, dataset, workdir):
    with pytest.raises(ConfigError, match="'nobody/1' is no finished run and no published model"):
        teachers.found(("nobody/1",), trained, dataset)
    other = dataclasses.replace(
        dataset, manifest=dataclasses.replace(dataset.manifest, version="walks-2")
    )
    with pytest.raises(ConfigError, match="was trained on the dataset walks-1, and the student"):
        teachers.found((), trained, other)
    with pytest.raises(ConfigError, match=r"compression.model is Ease; students are models"):
        config.compressed(walks, Distil(model=Ease()))
    with pytest.raises(ConfigError, match=r"compression.weight is 2; give a share"):
        Distil(weight=2)


def test_a_student_has_all_that_its_model_has(dataset):
    student = Distil().trained(Hstu(width=8), dataset, None)  # type: ignore[arg-type]
    assert student.sharding_rules == Hstu.sharding_rules
    whole = Distil(top=None).trained(Hstu(width=8), dataset, None)  # type: ignore[arg-type]
    assert whole.sharding_rules[-len(Hstu.sharding_rules) :] == Hstu.sharding_rules
    lengths = student.lengths(dataset.schema)  # type: ignore[attr-defined]
    assert lengths[IDS] == lengths[LOG_PROBABILITIES] == lengths["item"]
