"""After an upgrade: what other code made or began is neither made anew unasked nor forgotten."""

import dataclasses
import json

import pytest
from etils import epath

from podway.framework import artifact
from podway.framework.artifact import upgrade
from podway.framework.artifact.upgrade import CodeChanged
from podway.framework.code import classes, sources
from podway.framework.comparison import runs
from podway.framework.comparison.evaluation import compare
from podway.framework.config import Data, Evaluation, Experiment
from podway.framework.error import ConfigError
from podway.framework.input.batches import TrainBatches
from podway.framework.models.popularity import Popularity
from podway.framework.runs import checkpoint, run
from podway.framework.training import fitting, loop
from tests.framework.conftest import write_dataset
from tests.framework.experiments import walks


@pytest.fixture
def code(monkeypatch):
    """Lets the sources be others: code("b" * 16)."""

    def become(value: str) -> None:
        monkeypatch.setattr(sources, "code", lambda kind, part: value)

    become("a" * 16)
    return become


def made(workdir: epath.Path, identity: str, code: str) -> epath.Path:
    target = workdir / f"{identity}-{code[:8]}"
    with artifact.staging(target) as stage:
        (stage / "part").write_text("x")
        artifact.commit(
            stage, kind="run", name="n", version=target.name, config={}, inputs={}, code=code
        )
    return target


A, B, C = ("a" * 16, "b" * 16, "c" * 16)


def test_one_of_other_code_is_asked_about_once(tmp_path):
    workdir = epath.Path(tmp_path)
    old, new = made(workdir, "1" * 12, A), workdir / f"{'1' * 12}-{B[:8]}"
    made(workdir, "2" * 12, B)  # of another config
    with pytest.raises(
        CodeChanged, match=f"{old} .* version {new.name} .*--code keep .*--code new"
    ):
        upgrade.choose(new, "run", B, None)
    assert upgrade.choose(new, "run", B, None, look=True) == old
    assert "code" not in artifact.read(old, "run").details
    assert upgrade.choose(new, "run", B, "new") == new
    assert upgrade.choose(new, "run", B, "keep") == old
    assert artifact.read(old, "run").details["code"] == [A, B]
    assert upgrade.choose(new, "run", B, None) == old, "once kept, it is not asked about again"
    assert upgrade.choose(new, "run", B, "new") == new, "who changes their mind can"
    with pytest.raises(CodeChanged):
        upgrade.choose(workdir / f"{'1' * 12}-{C[:8]}", "run", C, None)
    assert upgrade.choose(old, "run", A, None) == old
    made(workdir, "1" * 12, B)
    assert upgrade.choose(new, "run", B, None) == new, "its own code's comes first"


def test_nothing_of_the_same_is_no_question(tmp_path):
    workdir = epath.Path(tmp_path)
    new = workdir / "v" / f"{'1' * 12}-{B[:8]}"
    assert upgrade.choose(new, "run", B, None) == new
    (new.parent / f"{'1' * 12}-{A[:8]}").mkdir(parents=True)  # a killed process left it
    assert upgrade.choose(new, "run", B, None) == new


@pytest.fixture
def broken(dataset, tmp_path, code, monkeypatch) -> epath.Path:
    """A run that broke at step 7, of which there is a checkpoint of step 5."""
    read = TrainBatches.__getitem__

    def breaks(self, index):
        if index == 7:
            raise OSError("the disk is broken")
        return read(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(TrainBatches, "__getitem__", breaks)
        with pytest.raises(OSError, match="broken"):
            loop.train(walks(steps=10), dataset, tmp_path)
    (directory,) = epath.Path(tmp_path / "runs" / "walks").iterdir()
    return directory


def _steps(directory: epath.Path) -> list[int]:
    records = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [record["step"] for record in records if "loss" in record]


def test_an_unfinished_run_goes_on_or_begins_anew(dataset, tmp_path, code, broken, monkeypatch):
    code(B)
    with pytest.raises(CodeChanged, match=f"{broken.name} .*--code keep to go on with it"):
        loop.train(walks(steps=10), dataset, tmp_path)
    assert [path.name for path in broken.parent.iterdir()] == [broken.name]

    new = loop.train(walks(steps=10), dataset, tmp_path, choice="new").directory
    assert new.name == f"{artifact.identity_of(broken.name)}-{B[:8]}"
    assert artifact.read(new, "run").code == B
    assert _steps(new) == list(range(1, 11)), "from its first step"
    new.rmtree()

    restored = []
    restore = checkpoint.Checkpoints.restore
    monkeypatch.setattr(
        checkpoint.Checkpoints,
        "restore",
        lambda self, step, state: restored.append(step) or restore(self, step, state),
    )
    kept = loop.train(walks(steps=10), dataset, tmp_path, choice="keep")
    assert restored == [5]
    assert kept.directory == broken
    assert kept.finished
    manifest = artifact.read(broken, "run")
    assert (manifest.code, manifest.details["code"]) == (A, [A, B])
    assert _steps(broken) == list(range(1, 11))
    assert loop.train(walks(steps=10), dataset, tmp_path).directory == broken
    code(A)
    assert loop.train(walks(steps=10), dataset, tmp_path).directory == broken


def test_a_run_begun_anew_goes_on_without_another_question(dataset, tmp_path, code, broken):
    """The choice was made when it began; the older one stays where it is."""
    code(B)
    target = broken.parent / f"{artifact.identity_of(broken.name)}-{B[:8]}"
    target.mkdir()
    (target / upgrade.CODE).write_text(json.dumps([B]))
    assert loop.train(walks(steps=10), dataset, tmp_path).directory == target
    assert broken.exists()


def test_evaluations_and_their_groups_follow_the_code(tmp_path, code):
    dataset = write_dataset(epath.Path(tmp_path) / "datasets" / "walks" / "walks-1")
    experiment = Experiment(
        "walks",
        Data("walks", "by hand"),
        model=Popularity(),
        evaluation=Evaluation(cutoffs=(1, 5), batch_size=32, bootstrap=10),
    )
    old = fitting.fit(experiment, dataset, tmp_path)
    evaluation = compare(experiment, old, dataset, tmp_path)
    code(B)
    with pytest.raises(CodeChanged, match=r"the run .*--code keep to use it"):
        fitting.fit(experiment, dataset, tmp_path)
    with pytest.raises(CodeChanged, match=r"the evaluation .*--code keep to use it"):
        compare(experiment, old, dataset, tmp_path)
    new = fitting.fit(experiment, dataset, tmp_path, "new")
    assert new != old
    assert compare(experiment, old, dataset, tmp_path, "keep") == evaluation
    groups = runs.grouped(runs.evaluate_runs([old, new], tmp_path))
    assert [len(group.runs) for group in groups] == [1, 1], "other code is no seed"
    assert len({group.name for group in groups}) == 2
    changed = dataclasses.replace(experiment.evaluation, bootstrap=11)
    other = dataclasses.replace(experiment, evaluation=changed)
    with pytest.raises(CodeChanged, match=r"the run .* made by other code .*--code keep"):
        compare(other, old, dataset, tmp_path)
    assert compare(other, old, dataset, tmp_path, "keep") != evaluation


USER = """
import dataclasses
from podway.framework.models.popularity import Popularity

@dataclasses.dataclass(frozen=True)
class Mine(Popularity):
    pass
"""


def test_a_users_file_may_move_after_the_run(dataset, tmp_path):
    """The config that a command is given is the run's; where the classes lay then is not asked."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "moved_of_test_upgrade.py").write_text(USER)

    def experiment(folder: str) -> Experiment:
        mine = classes.load(tmp_path / folder / "moved_of_test_upgrade.py").Mine
        evaluation = Evaluation(cutoffs=(1, 5), batch_size=32, bootstrap=10)
        return Experiment("walks", Data("walks", "x"), model=mine(), evaluation=evaluation)

    target = fitting.fit(experiment("a"), dataset, tmp_path)
    (tmp_path / "a" / "moved_of_test_upgrade.py").unlink()
    assert fitting.fit(experiment("b"), dataset, tmp_path) == target
    assert compare(experiment("b"), target, dataset, tmp_path).exists()
    with pytest.raises(ConfigError, match=f"{target} cannot be read back: model is a Mine of"):
        run.load(target)
