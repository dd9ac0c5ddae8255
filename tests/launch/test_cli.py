import contextlib
import dataclasses
import io
import json
import os
import pathlib
import subprocess
import sys

import pytest

from podway.framework import codec, config
from podway.framework.artifact.upgrade import CodeChanged
from podway.launch import cli, experiments
from podway.launch.verbs import run as run_verb
from podway.launch.verbs.verb import Trained
from tests import forked

ROOT = pathlib.Path(__file__).parent.parent.parent


def podway(*arguments: str) -> subprocess.CompletedProcess:
    """The command in this process: a new one takes seconds to load what it needs."""
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main([*arguments])
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def in_process_of_its_own(*arguments: str) -> subprocess.CompletedProcess:
    return forked.run(("podway.launch.cli", *arguments), cwd=ROOT, timeout=300)


@pytest.mark.parametrize("name", experiments.names())
def test_each_config_resolves_to_its_golden_file(name):
    experiment = experiments.load(name)
    golden = (ROOT / "tests" / "golden" / f"{name}.json").read_text()
    assert codec.to_json(experiment) == json.loads(golden), "make golden, and review"
    assert codec.from_json(config.Experiment, json.loads(golden)) == experiment


def test_every_config_says_what_it_is():
    for name in experiments.names():
        assert experiments.summary(name)
    assert set(experiments.names()) <= set(podway("configs").stdout.split())


def test_overrides_are_typed_and_checked():
    done = podway("show", "movielens_sasrec", "--trainer.steps", "7", "--model.width", "32")
    shown = json.loads(done.stdout)
    assert (shown["trainer"]["steps"], shown["model"]["width"]) == (7, 32)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trian"], 2, "there is no verb 'trian'; perhaps you meant 'train'"),
        (["launch", "mars", "x"], 2, "there is no verb 'launch mars'"),
        (
            ["data", "movielens_sasrec", "--master", "x"],
            2,
            "--master is no option of `podway data CONFIG`",
        ),
        (
            ["data", "movielens_sasrec", "--runner", "fink"],
            2,
            "--runner is 'fink'; perhaps you meant flink, of local",
        ),
        (["show", "movielens_sasrek"], 1, "perhaps you meant 'movielens_sasrec'"),
        (["show", "nowhere.py"], 1, "there is no config file nowhere.py"),
        (["show", "movielens_sasrec", "--trainer.stepz", "7"], 2, "you meant --trainer.steps"),
        (["show", "movielens_sasrec", "--trainer.steps", "many"], 2, "is 'many'; give an integer"),
        (
            ["show", "movielens_sasrec", "--model.heads", "3"],
            2,
            "--model.heads 3: model.heads is 3",
        ),
        (["train", "movielens_sasrec", "--data.path", "no/such"], 1, "data.path"),
        (["serve", "movielens_sasrec", "--workdir", "/nowhere"], 1, "podway run"),
        (
            ["show", "movielens_ease", "--evaluation.score-block-items", "0"],
            2,
            "evaluation.score_block_items is 0; give 1",
        ),
        (["compare", "no/run", "b", "--workdir", "/nowhere"], 1, "there is no run no/run"),
        (["compare", "no/run"], 2, "give two runs or more"),
        (["compare", "a", "b", "--seeds", "3"], 2, "--seeds is no option of `podway compare"),
        (["compare", "--workdir", "w"], 2, "usage: podway compare RUN RUN"),
        (["show", "movielens_ease", "--shardings"], 1, "Ease is fitted, not trained"),
        (["preflight", "movielens_ease"], 1, "Ease is fitted, not trained"),
        (
            ["train", "movielens_ease", "--num-processes", "2"],
            1,
            "fitted or converted by one process",
        ),
    ],
)
def test_what_cannot_be_done_is_one_clear_sentence(arguments, code, message, tmp_path):
    if arguments[0] == "train":
        arguments = [*arguments, "--workdir", str(tmp_path)]
    run = in_process_of_its_own if arguments[0] in ("train", "preflight") else podway
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert message in " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 10
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or "_staging" in path.name]


def test_a_missing_package_names_the_extra_that_brings_it(tmp_path):
    """As on a Beam worker's machine: a config whose model needs JAX, and no JAX."""
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('no jax', name='jax')\n")
    done = subprocess.run(
        [sys.executable, "-m", "podway.launch.cli", "show", "movielens_sasrec"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "jax is not installed; pip install 'podway[train]' brings it"
    )


def test_checkpoints_of_what_is_no_run(tmp_path):
    done = podway("checkpoints", str(tmp_path))
    assert done.returncode == 1
    assert f"error: {tmp_path} is no run" in done.stderr


def test_shardings_of_a_pod_that_is_not_here():
    sizes = ("--items", "1000000", "--model.objective.negatives", "64")
    pod = ("--shardings", "--topology", "v5e:4x4", "--mesh.fsdp", "4")
    done = podway("show", "completejourney_sasrec", *pod, *sizes)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "v5e:4x4: 16 devices, mesh slice 1 × data 4 × fsdp 4 × tensor 1" in done.stdout
    # 1,000,064 rows in 8,192 shards of 128, 64 wide, f32, on 16 devices.
    assert rows["tables.item/embedding"].split()[-1] == f"{8192 * 128 * 64 * 4 // 16:,}"
    assert "slice·data·fsdp·tensor" in rows["slots.item/embedding.accumulator"]
    assert rows["parameters.blocks/0/qkv/kernel"].split()[-1] == f"{64 * 192 * 4 // 4:,}"
    done = podway(
        "show", "movielens_sasrec", "--shardings", "--topology", "v5e:3x3", "--items", "9"
    )
    assert done.returncode == 1
    assert "v5e has no slice of 3x3; the nearest are" in done.stderr


@pytest.mark.parametrize("verb", ["data", "train", "evaluate", "export", "run", "launch dataflow"])
def test_each_verb_that_builds_says_what_becomes_of_other_code(verb):
    """One process for all would not do: each verb has options of its own."""
    fields = {field.name for field in dataclasses.fields(cli.VERBS[verb].options)}
    assert "code" in fields


@pytest.mark.parametrize("answer", ["keep", "new", ""])
def test_run_asks_in_a_terminal_and_nowhere_else(answer, monkeypatch, capsys):
    given = []

    def run(experiment, workdir, code):
        given.append(code)
        if code is None:
            raise CodeChanged("both versions")

    monkeypatch.setattr(cli.stages, "run", run)
    options = Trained(experiments.load("movielens_popularity"))
    with pytest.raises(CodeChanged):
        run_verb.run(options)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    if answer:
        run_verb.run(options)
    else:
        with pytest.raises(CodeChanged):
            run_verb.run(options)
    assert given == [None, None, *([answer] if answer else [])]
    assert "both versions" in capsys.readouterr().out
