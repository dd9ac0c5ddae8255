"""After an edit of the user's own model nothing made by the old code passes for one of the new."""

import contextlib
import importlib
import io
import json
import pathlib
import sys

import pytest
import tensorflow as tf

from podway.export.verification import verify
from podway.framework.code import classes
from podway.launch import cli

CONFIG = '''
import dataclasses
import importlib
import pathlib
from podway.framework.config import Columns, Data, Evaluation, Experiment, Export
from podway.framework.models.popularity import Popularity
import edited_elsewhere
from edited_beside import sign
from edited_package.layers import ONE
NAMED = importlib.import_module("edited_named")
WEIGHTS = pathlib.Path(__file__).parent / "edited.txt"

@dataclasses.dataclass(frozen=True)
class Mine(Popularity):
    """Popularity, or its opposite."""
    power: int = 1

    def fit(self, dataset, seed):
        factor = sign() * ONE * NAMED.ONE * edited_elsewhere.ONE * float(WEIGHTS.read_text())
        return {"counts": 1.0 * factor * super().fit(dataset, seed)["counts"] ** self.power}

def experiment():
    return Experiment(
        name="mine",
        data=Data(
            name="mine",
            path="events.csv",
            columns=Columns("user", "item", "time"),
            min_user_events=1,
            min_item_events=1,
            shards=1,
        ),
        model=Mine(),
        evaluation=Evaluation(cutoffs=(1,), batch_size=32, bootstrap=10),
        export=Export(top_k=3, batch_buckets=(1,), max_history=8),
    )
'''
FILES = {
    "config.py": CONFIG,
    "edited_beside.py": "from edited_deep import ONE\n\ndef sign():\n    return ONE\n",
    "edited_deep.py": "ONE = 1.0\n",
    "edited_package/__init__.py": "",
    "edited_package/layers.py": "from .deep import ONE\n",
    "edited_package/deep.py": "ONE = 1.0\n",
    "edited_named.py": "ONE = 1.0\n",
    "edited.txt": "1.0\n",
    "lib/edited_elsewhere.py": "from edited_there import ONE\n",
    "lib/edited_there.py": "ONE = 1.0\n",
}
EDITED = [
    "config.py",
    "edited_beside.py",
    "edited_deep.py",
    "edited_package/layers.py",
    "edited_package/deep.py",
    "edited_named.py",
    "edited.txt",
    "lib/edited_elsewhere.py",
    "lib/edited_there.py",
]
"""Files of which `ONE`, or what it is multiplied by, decides what is recommended."""
POWER = ("--model.power",)
ASKED = "other code than"


def podway(*arguments: str) -> tuple[int, str]:
    """The command as in a process that has not seen the user's files: its code, and all it says."""
    importlib.invalidate_caches()
    for path, module in list(classes._LOADED.items()):
        del classes._LOADED[path], sys.modules[module.__name__]
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("edited_")]:
        del sys.modules[name]
    said, code = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main([*arguments, "--workdir", "w"])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return code, said.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs of the user's model, the first of them evaluated and published."""
    folder = tmp_path_factory.mktemp("edited")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    # Half the users come to `popular` last, and in the train split nothing unseen is more so.
    histories = [["popular", "rare", "x", "y"], *[["popular", "x", "y"]] * 11]
    histories += [["other", "x", "popular"]] * 12
    events = [
        f"u{user},{item},{at}"
        for user, history in enumerate(histories)
        for at, item in enumerate(history)
    ]
    (folder / "events.csv").write_text("\n".join(["user,item,time", *events, ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path, str(folder / "lib")])
        patch.setattr(sys, "dont_write_bytecode", True)  # two edits within a second
        patch.setattr(verify, "in_fresh_process", verify.verify)
        for verb, *options in (["run"], ["train", *POWER, "2"], ["train", *POWER, "3"]):
            code, said = podway(verb, "config.py", *options)
            assert code == 0, said
        yield folder


@contextlib.contextmanager
def edited(path: pathlib.Path):
    before = path.read_text()
    path.write_text(before.replace("1.0", "-1.0") if "1.0" in before else f"{before}# edit\n")
    try:
        yield
    finally:
        path.write_text(before)


def tree(folder: pathlib.Path) -> dict[str, str]:
    """What lies in the workdir; of manifests, the content too."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.suffix == ".json" else ""
        for path in sorted((folder / "w").rglob("*"))
        if "compiled" not in path.parts
    }


def runs(folder: pathlib.Path, *powers: int) -> list[str]:
    """The folders of the runs with these powers."""
    found = {
        json.loads(path.read_text())["model"]["power"]: str(path.parent)
        for path in (folder / "w" / "runs" / "mine").glob("*/experiment.json")
    }
    return [found[power] for power in powers]


@pytest.mark.parametrize("name", EDITED)
def test_an_edit_is_asked_about_by_every_verb(folder, name):
    verbs = [[verb, "config.py"] for verb in ("train", "evaluate", "export", "run")]
    compared = [["compare", *runs(folder, 1, 2)], ["compare", *runs(folder, 2, 3)]]
    before = tree(folder)
    with edited(folder / name):
        for arguments in (*verbs, *compared):
            code, said = podway(*arguments)
            assert code == 1, said
            assert ASKED in said
            assert "--code keep" in said
            assert "hr@" not in said
            assert "verified" not in said
            assert "train: up to date" not in said
    assert tree(folder) == before
    code, said = podway("train", "config.py")
    assert "train: up to date" in said


def test_an_edit_of_the_config_alone_is_no_edit_of_the_code(folder):
    """`experiment()` says what it says; where that is no part of a run, the run is up to date."""
    path = folder / "config.py"
    before = path.read_text()
    path.write_text(before.replace("bootstrap=10", "bootstrap=11"))
    try:
        code, said = podway("evaluate", "config.py")
    finally:
        path.write_text(before)
    assert code == 0, said
    assert "train: up to date" in said
    assert "evaluate: building" in said


def test_a_loaded_run_says_that_its_code_was_edited(folder):
    """A published model is what it was: it has no code of the user's."""
    asked = ("recommend", "mine", "--history", "other", "--k", "2")
    for more in ([], ["--run", "latest"]):
        code, said = podway(*asked, *more)
        assert code == 0, said
        assert "other code" not in said
        with edited(folder / "edited_beside.py"):
            code, said = podway(*asked, *more)
        assert code == 0, said
        assert ("podway: note: run w/runs/mine/" in said) == bool(more)
        assert ("was made by other code than is here now" in said) == bool(more)


def test_new_code_gives_new_figures_and_a_new_model(folder):
    _, before = podway("run", "config.py")
    with edited(folder / "edited_deep.py"):
        code, kept = podway("evaluate", "config.py", "--code", "keep")
        assert code == 0, kept
        for stage in ("train", "evaluate"):
            assert f"{stage}: kept, made by other code: " in kept
        assert rows(kept)["hr@1"] == rows(before)["hr@1"], "the old table, said to be old"
        code, said = podway("export", "config.py")
        assert code == 1, "the model is asked about, too"
        assert ASKED in said

        code, new = podway("run", "config.py", "--code", "new")
        assert code == 0, new
        for stage in ("train", "evaluate", "export"):
            assert f"{stage}: building" in new
        assert (rows(before)["hr@1"], rows(new)["hr@1"]) == ("0.5000", "0.0000")
        assert podway("run", "config.py")[1].count("up to date") == 4
        assert [best(folder, version) for version in (1, 2)] == ["popular", "rare"]

        code, said = podway("export", "config.py", *POWER, "2", "--code", "keep")
        assert code == 0, said
        assert "train: kept, made by other code: " in said
    codes = [manifest(folder, version)["details"]["run_code"] for version in (1, 2, 3)]
    assert [len(each) for each in codes] == [1, 1, 2], "what made it, and what it was kept for"


def rows(said: str) -> dict[str, str]:
    """The first figure of each row of a table."""
    lines = [line.split() for line in said.splitlines() if "[" in line and "@" in line]
    return {line[0]: line[1] for line in lines}


def manifest(folder: pathlib.Path, version: int) -> dict:
    path = folder / "w" / "models" / "mine" / str(version) / "assets.extra" / "export.json"
    return json.loads(path.read_text())


def best(folder: pathlib.Path, version: int) -> str:
    """What a published model recommends first to a user who has seen `other`."""
    model = tf.saved_model.load(str(folder / "w" / "models" / "mine" / str(version)))
    answer = model.signatures["serving_default"](history=tf.constant([["other"]]))
    return answer["item"].numpy()[0, 0].decode()
