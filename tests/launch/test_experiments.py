"""A user's config file: its classes are found again, and its errors are one sentence."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

from podway.framework.code import classes
from podway.framework.error import ConfigError
from podway.launch import experiments
from tests import forked, xla

ROOT = pathlib.Path(__file__).parent.parent.parent

CONFIG = """
import dataclasses
from podway.framework.config import Columns, Csv, Data, Evaluation, Experiment, Trainer
from podway.framework.training.optimizer import AdamW
from layers_of_a_user import Narrow

@dataclasses.dataclass(frozen=True)
class Mine(Narrow):
    "A SASRec of the user's own."
    mine: int = 1

def experiment():
    return Experiment(
        name="mine",
        data=Data(
            name="mine",
            path="{folder}/events.csv",
            format=Csv(),
            columns=Columns("user", "item", "time"),
            min_user_events=1,
            min_item_events=1,
            shards=2,
        ),
        model=Mine(width=8, blocks=1, max_length=4),
        optimizer=AdamW(),
        trainer=Trainer(steps=4, batch_size=8, evaluate_every=2, checkpoint_every=2),
        evaluation=Evaluation(cutoffs=(2,), batch_size=8, bootstrap=10),
    )
"""
BESIDE = """
import dataclasses
from podway.framework.models.sasrec import SasRec

@dataclasses.dataclass(frozen=True)
class Narrow(SasRec):
    narrow: int = 2
"""


def podway(*arguments: str, cwd: pathlib.Path, code: int = 0) -> str:
    """In a folder of its own: nothing of the user's is importable from there."""
    done = forked.run(
        ("podway.launch.cli", *arguments),
        cwd=cwd,
        env=os.environ | {"XLA_FLAGS": xla.flags(), "JAX_PLATFORMS": "cpu"},
        timeout=300,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> pathlib.Path:
    """A folder with the user's files, and beside it an empty one."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "elsewhere").mkdir()
    (folder / "my").mkdir()
    events = [f"u{user},i{(user + at) % 9},{at}" for user in range(24) for at in range(6)]
    (folder / "my" / "events.csv").write_text("\n".join(["user,item,time", *events, ""]))
    (folder / "my" / "config.py").write_text(CONFIG.format(folder=folder / "my"))
    (folder / "my" / "layers_of_a_user.py").write_text(BESIDE)
    return folder


def test_every_later_process_finds_the_users_classes(place):
    """Trains, evaluates, fine-tunes in two processes, compares, exports; then an edit is asked
    about, and at last the file has gone."""
    away, workdir = place / "elsewhere", place / "w"
    config, common = str(place / "my" / "config.py"), ("--workdir", str(workdir))
    said = podway("evaluate", config, *common, cwd=away)
    assert "Mine" in said
    (run,) = (path for path in (workdir / "runs" / "mine").iterdir() if path.is_dir())
    stored = json.loads((run / "experiment.json").read_text())
    assert stored["model"]["type"] == "config.py:Mine"
    assert stored["model"]["from"] == str(place / "my")
    version = json.loads((run / "manifest.json").read_text())["config"]
    known = {k: v for k, v in stored["model"].items() if k in version["model"]}
    assert version["model"] == known
    assert "from" not in version["model"]

    longer = ("--trainer.steps", "6", "--trainer.warm_start.run", str(run))
    said = podway("train", config, *common, *longer, "--num-processes", "2", cwd=away)
    assert "start: " in said
    assert f"parameters from {run}" in said
    names = {path.name for path in (workdir / "runs" / "mine").iterdir() if path.is_dir()}
    (tuned,) = names - {run.name}

    folders = [str(run), str(run.parent / tuned)]
    said = podway("compare", *folders, *common, cwd=away)
    assert "24 test users" in said
    _identity_in_a_fresh_process(run, away)

    with (place / "my" / "layers_of_a_user.py").open("a") as file:
        file.write("# an edit\n")
    said = podway("train", config, *common, cwd=away, code=1)
    assert f"error: the run {run} is of the same config and inputs" in said
    assert "--code keep" in said
    assert "--code new" in said
    assert "Traceback" not in said
    said = podway("train", config, *common, "--code", "keep", cwd=away)
    assert f"train: kept, made by other code: {run}" in said

    (place / "my" / "config.py").rename(place / "my" / "renamed.py")
    said = podway("compare", *folders, *common, cwd=away, code=1)
    file = place / "my" / "config.py"
    assert f"error: {run} cannot be read back: model is a Mine of {file}, which is no" in said
    assert "Traceback" not in said


def _identity_in_a_fresh_process(run: pathlib.Path, away: pathlib.Path) -> None:
    """What `export` knows a model by, from the run alone."""
    code = f"""
from podway.export import identity
from podway.framework.runs import run
experiment, _ = run.described({str(run)!r})
assert identity.identity(experiment)["model"]["type"] == "config.py:Mine"
print(identity.version(experiment, {{"run": "r"}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=away,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 21


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a config file, with others beside it; gives its path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(text: str, **beside: str) -> pathlib.Path:
        for name, content in beside.items():
            (tmp_path / f"{name}.py").write_text(content)
        path = tmp_path / "config.py"
        path.write_text(text)
        return path

    yield write
    for name in set(sys.modules) - before:
        if name.endswith("_of_a_test"):
            del sys.modules[name]


HEAD = "import dataclasses\nfrom podway.framework.config import Data, Experiment, Model\n"
BODY = "def experiment():\n    return Experiment('x', Data('x', 'y'), model=Mine())\n"
INSIDE = """def experiment():
    @dataclasses.dataclass(frozen=True)
    class Mine(Model):
        pass
    return Experiment('x', Data('x', 'y'), model=Mine())
"""
UNEQUAL = """@dataclasses.dataclass(frozen=True)
class Mine(Model):
    a: int = 1
    def __post_init__(self):
        object.__setattr__(self, "a", self.a + 1)
"""
SET = "@dataclasses.dataclass(frozen=True)\nclass Mine(Model):\n    a: frozenset = frozenset()\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def experiment()\n", r"config.py:1: expected ':'"),
        ("\nx = undefined\n", r"config.py:2: NameError: name 'undefined' is not defined"),
        ("assert False\n", r"config.py:1: AssertionError$"),
        ("import no_such_module\n", r"config.py:1: ModuleNotFoundError: No module named 'no_such"),
        (
            "from podway.framework.config import Nothing\n",
            r"config.py:1: ImportError: cannot import name",
        ),
        (f"{HEAD}\ndef experiment():\n    return Data('', 'y')\n", r"py:5: data.name is empty"),
        ("x = 1\n", r"config.py has no function `experiment\(\)` that returns an Experiment"),
        ("\ndef experiment():\n    return 3\n", r"py:2: experiment\(\) returns a int; return an"),
        ("def experiment(x):\n    return 3\n", r"config.py: TypeError: .* missing 1 required"),
        ("import broken_of_a_test\n", r"/broken_of_a_test.py:2: invalid syntax"),
        ("import wrong_of_a_test\n", r"/wrong_of_a_test.py:1: ZeroDivisionError: division by zero"),
        (HEAD + INSIDE, r"config.py: the class Mine is defined inside a function"),
        (HEAD + UNEQUAL + BODY, r"is not what is read back: model.a is 3 here and 2 there; give"),
        (HEAD + SET + BODY, r"config.py: a config cannot hold a frozenset"),
    ],
)
def test_an_error_in_a_users_file_is_one_sentence(written, tmp_path, text, message):
    path = written(text, broken_of_a_test="\nx = = 1\n", wrong_of_a_test="1 / 0\n")
    with pytest.raises(ConfigError, match=message) as caught:
        experiments.load(str(path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


def test_a_missing_package_of_ours_is_no_error_of_the_user(written, monkeypatch):
    """`podway` says which extra brings it."""
    monkeypatch.setitem(sys.modules, "optax", None)
    monkeypatch.delitem(sys.modules, "podway.framework.training.optimizer", raising=False)
    with pytest.raises(ImportError, match="optax"):
        experiments.load(str(written("from podway.framework.training.optimizer import AdamW\n")))


def test_a_file_is_one_module_that_hides_no_other(written):
    path = written(f"{HEAD}{SET.replace('a: frozenset = frozenset()', 'a: int = 1')}{BODY}")
    first, second = experiments.load(str(path)), experiments.load(str(path))
    assert type(first.model) is type(second.model)
    assert first == second
    assert "config" not in sys.modules
    other = path.with_name("numpy.py")
    other.write_text(path.read_text())
    import numpy

    assert type(experiments.load(str(other)).model).__module__ != "numpy"
    assert sys.modules["numpy"] is numpy


def test_a_module_beside_that_an_installed_one_hides_is_refused(written):
    path = written("import tyro\n", tyro="x = 1\n")
    with pytest.raises(
        ConfigError, match=r"means .*/tyro.py by `import tyro`, and gets .*: rename"
    ):
        experiments.load(str(path))


def test_overrides_keep_the_users_class(written):
    text = f"{HEAD}{SET.replace('a: frozenset = frozenset()', 'a: int = 1')}{BODY}"
    loaded = experiments.load(str(written(text)))
    changed = dataclasses.replace(loaded, model=dataclasses.replace(loaded.model, a=3))
    assert classes.describe(type(changed.model))["type"] == "config.py:Mine"
