"""What one gets wrong on a day: each is one sentence that says where, and what would be right."""

import errno
import os

import pytest

from podway.framework.config import Csv
from podway.framework.error import ConfigError
from podway.launch import cli, experiments, options
from tests.launch.test_cli import podway

FILE = """from podway.framework.config import Columns, Csv, Data, Evaluation, Experiment, Trainer
from podway.framework.config.features import Numeric
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW


def experiment():
    return Experiment(
        name="mine",
        data=Data(
            name="mine",
            path="events.csv",
            format=Csv(),
            columns=Columns("user", "item", "time"),
            features=(Numeric("price"),),
            min_user_events=1,
            min_item_events=1,
        ),
        model=SasRec(
            width=8,
            heads=1,
        ),
        optimizer=AdamW(),
        trainer=Trainer(steps=4),
        evaluation=Evaluation(cutoffs=(2,)),
    )
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes FILE with one thing wrong to mine.py in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.csv").write_text("user,item,time,price\na,b,1,2\n")

    def write(right: str = "", wrong: str = "") -> None:
        assert FILE.count(right) == 1 or not right
        (tmp_path / "mine.py").write_text(FILE.replace(right, wrong) if right else FILE)

    return write


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("steps=4", "stepz=4", "24: Trainer has no field 'stepz'; perhaps you meant steps"),
        ("width=8", "wide=8", "20: SasRec has no field 'wide'; perhaps you meant width"),
        ("heads=1", "zzz=1", "21: SasRec has no field 'zzz'; it has width, "),
        ('path="events.csv",', "", "10: Data needs 'path', too"),
        ("steps=4", "steps=0", "24: trainer.steps is 0; give 1 or more"),
        ("heads=1", "heads=3", "21: model.heads is 3, which does not divide model.width = 8"),
        ("steps=4", 'steps="many"', "24: steps of Trainer is 'many'; give an integer"),
        ("steps=4", "steps=4.5", "24: trainer.steps is 4.5; give an integer"),
        ("width=8", 'width="8"', "20: width of SasRec is '8'; give an integer"),
        ("AdamW()", '"adam"', "23: optimizer is 'adam'; give an Optimizer: a class of podway."),
        ("AdamW()", "AdamW", "23: optimizer is the class AdamW; make one of it: AdamW()"),
        ("AdamW()", "Trainer()", "23: optimizer is a Trainer; give an Optimizer: a class of"),
        ("Csv()", '"csv"', "13: data.format is 'csv'; give a Format: Csv, Parquet, JsonLines"),
        ("Csv()", 'Csv(";;")', None),
        (
            'Columns("user", "item", "time")',
            '("user", "item", "time")',
            "14: columns of Data is ('user', 'item', 'time'); give a Columns, as Columns(…)",
        ),
        ('"item", "time")', '3, "time")', "14: data.columns.item is 3; give a text"),
        (
            '(Numeric("price"),)',
            '(Numeric("price"))',
            "15: features of Data is a Numeric; give a tuple, with a comma even of one: (Numeric(",
        ),
        (
            '(Numeric("price"),)',
            '[Numeric("price")]',
            "15: data.features is a list; give a tuple, in round brackets and with a comma",
        ),
        ('(Numeric("price"),)', '("price",)', "15: features of Data is a tuple with 'price' at pl"),
        (
            '"events.csv"',
            '__import__("pathlib").Path("x")',
            "12: data.path is PosixPath('x'); give a text",
        ),
        ("cutoffs=(2,)", "cutoffs=(2, 'a')", "25: cutoffs of Evaluation is a tuple with 'a' at "),
        ("    return Exp", "    Exp", "7: experiment() returns nothing; return an Experiment"),
        (
            "def experiment",
            "def small",
            " has no function `experiment()` that returns an Experiment",
        ),
        ("def experiment", "def small", "; it has small(): rename one"),
        (
            "def experiment():\n    return ",
            "experiment = ",
            "7: experiment is an Experiment, but should be a function that returns it: write",
        ),
        (
            "def experiment",
            "def experiment():\n    return 3\n\n\ndef experiment",
            "11: experiment() is written twice, first on line 7; keep one",
        ),
        ("Csv(),", "Csv(,", "8: '(' was never closed"),
    ],
)
def test_a_mistake_in_a_file_names_the_line_and_what_would_be_right(write, right, wrong, message):
    write(right, wrong)
    if message is None:
        assert experiments.load("mine.py").data.format == Csv(delimiter=";;")
        return
    with pytest.raises(ConfigError) as caught:
        experiments.load("mine.py")
    said = str(caught.value)
    separator = "" if message[0] in " ;" else ":"
    assert f"mine.py{separator}{message}" in said or (message[0] == ";" and message in said)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "--steps 5",
            "--steps is no option of `podway show CONFIG`; perhaps you meant --trainer.st",
        ),
        ("--lr 5", "--lr is no option of `podway show CONFIG`; perhaps you meant --optimizer.lear"),
        ("--trainer.stepz 5", "perhaps you meant --trainer.steps"),
        ("--workdirr w", "perhaps you meant --workdir"),
        ("--zzz 5", "`podway show CONFIG --help-all` lists the options"),
        ("-steps 5", "-steps is no option of `podway show CONFIG`; perhaps you meant --trainer.st"),
        ("-trainer.steps 5", "-trainer.steps is written --trainer.steps"),
        ("--trainer.steps", "--trainer.steps needs a value: --trainer.steps INT"),
        ("--trainer.steps 1.5", "--trainer.steps is '1.5'; give an integer"),
        ("--trainer.steps=many", "--trainer.steps is 'many'; give an integer"),
        ("--optimizer.learning_rate fast", "--optimizer.learning-rate is 'fast'; give a number"),
        ("--data.max-items few", "--data.max-items is 'few'; give an integer, or None"),
        ("--data.duplicates dropp", "--data.duplicates is 'dropp'; perhaps you meant drop, of ke"),
        ("--data.extendable False", "takes no value; give --data.extendable or --data.no-extend"),
        ("--data.path a b", "--data.path takes one value, and 'b' is one more; quote what has sp"),
        ("--evaluation.cutoffs 5 x", "--evaluation.cutoffs is '5 x'; give integers, with a space"),
        ("--model.heads 3", "--model.heads 3: model.heads is 3, which does not divide model.width"),
        ("--trainer.steps 0", "--trainer.steps 0: trainer.steps is 0; give 1 or more"),
        ("--name a/b", "--name a/b: name is 'a/b'; give letters, digits"),
        ("--trainer 5", "--trainer stands for several options, say --trainer."),
        ("--model sasrec", "the class of `model` is chosen in the config's file"),
        ("--model.type Hstu", "the class of `model` is chosen in the config's file"),
        ("--model.embedding none", "chosen by a word without dashes, after all options: model.em"),
        ("model.embedding:nonee", "perhaps you meant model.embedding:none"),
        ("extra.py", "`podway show CONFIG` takes nothing more before its options: leave 'extra.py"),
        ("workdir w", "'workdir' is no option of `podway show CONFIG`; perhaps you meant --workdi"),
    ],
)
def test_a_mistake_on_the_command_line_names_the_option(write, typed, message):
    write()
    done = podway("show", "mine.py", *typed.split())
    assert done.returncode == 2
    assert done.stderr.startswith("podway: error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "code", "message"),
    [
        ("trian mine.py", 2, "there is no verb 'trian'; perhaps you meant 'train'"),
        ("launch mine.py", 1, "name a target first: `podway launch kubernetes mine.py`"),
        ("mine.py", 2, "mine.py is a config: `podway run mine.py`"),
        ("zzz", 2, "there is no verb 'zzz'; `podway --help` lists them"),
        (
            "train",
            2,
            "CONFIG is missing: give a name that `podway configs` lists, or a Python file",
        ),
        ("compare mine", 2, "RUN RUN is missing: give two runs or more"),
        ("promote mine", 2, "VERSION is missing: give the number of a published version"),
        ("show mein.py", 1, "there is no config file mein.py; perhaps you meant mine.py"),
        ("show mine", 1, "there is no config 'mine'; for the file beside you write mine.py"),
        ("show folder", 1, "folder is a folder: give a Python file"),
        ("show events.csv", 1, "events.csv is a file, but no Python file"),
        ("show movielens_sasrek", 1, "perhaps you meant 'movielens_sasrec'"),
        ("show fashion", 1, "perhaps you meant 'fashion_mnist'"),
        ("show movielens", 1, "perhaps you meant 'movielens_cold_start', "),
        ("show qqq", 1, "there is no config 'qqq'; `podway configs` lists them"),
        ("serve mine.py --workdir w", 1, "no model is published in w: "),
        (
            "checkpoints runs",
            1,
            "runs is no run: it has no folder `checkpoints`; give one of those",
        ),
        ("train mine.py --num-processes 0", 1, "--num-processes is 0; give 1 or more"),
        ("data mine.py --data.path evens.csv", 1, "--data.path evens.csv: data.path is 'evens.csv"),
        (
            "data mine.py --data.path evens.csv",
            1,
            "no file is there; perhaps you meant 'events.csv",
        ),
        (
            "data mine.py --data.path folder",
            1,
            "is 'folder' and no file is there: of a folder, Csv reads files whose names end in",
        ),
        ("data mine.py --data.path no.x", 1, "no file is there (the command runs in "),
        ("train mine.py --workdir events.csv", 1, "--workdir events.csv: events.csv/data"),
    ],
)
def test_a_mistake_about_what_is_there_says_what_is(write, tmp_path, typed, code, message):
    write()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.bin").write_text("")
    (tmp_path / "runs" / "0123" / "checkpoints").mkdir(parents=True)
    done = podway(*typed.split())
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("podway: error: ") == 1


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ('path="events.csv"', 'path="none.csv"', "12: data.path is 'none.csv' and no file is the"),
        (
            '"user", "item"',
            '"usr", "item"',
            "14: events.csv has no column 'usr'; set data.columns.user to 'user', or to another of",
        ),
        (
            '"price"',
            '"prize"',
            "events.csv has no column 'prize'; set the column of the feature 'p",
        ),
    ],
)
def test_what_a_stage_finds_wrong_is_said_behind_the_line(write, right, wrong, message):
    write(right, wrong)
    done = podway("data", "mine.py")
    assert done.returncode == 1
    assert message in done.stderr
    assert f"podway: error: mine.py:{message}" in done.stderr or not message[0].isdigit()


def test_what_the_system_refuses_names_the_workdir(write, monkeypatch):
    write()
    said = []

    def fails(number: int, name: str | None):
        def run(*_: object) -> None:
            raise OSError(number, os.strerror(number), name)

        monkeypatch.setattr(cli.stages, "run", run)
        done = podway("run", "mine.py", "--workdir", "w")
        assert done.returncode == 1
        said.append(done.stderr.removeprefix("podway: error: "))

    fails(errno.ENOSPC, None)
    fails(errno.EROFS, "w/runs/mine")
    fails(errno.ENOENT, "elsewhere/file")
    assert said[0].startswith("--workdir w: the disk is full (No space left on device); make room")
    assert said[1].startswith("--workdir w: w/runs/mine: it cannot be written (Read-only file syst")
    assert said[2] == "No such file or directory: elsewhere/file\n"


def test_without_tyros_hook_its_box_says_it(write, monkeypatch):
    """The hook is no part of tyro's public interface."""
    write()
    monkeypatch.setattr(options, "hooks", lambda: None)
    done = podway("show", "mine.py", "--trainer.stepz", "5")
    assert done.returncode == 2
    assert "--trainer.steps" in done.stderr
    assert "podway: error" not in done.stderr
