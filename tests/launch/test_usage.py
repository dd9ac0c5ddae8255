"""Help: a screen for each verb, at once; all fields behind --help-all."""

import re
import resource
import subprocess
import sys

import pytest

from podway.framework.config import Experiment
from podway.launch import cli, experiments, fields, usage
from tests.launch.test_cli import ROOT, in_process_of_its_own, podway

CONFIGURED = [name for name, verb in cli.VERBS.items() if verb.of == "CONFIG"]


def test_all_verbs_stand_under_a_stage_of_the_chain():
    said = podway("--help").stdout
    lines = said.splitlines()
    assert len(lines) <= usage.OVERVIEW
    stages = [line for line in lines if re.fullmatch(r"[a-z ]+:", line)]
    assert stages == [f"{stage}:" for stage in cli.STAGES]
    for verb in ["configs", *cli.VERBS]:
        family, _, member = verb.partition(" ")
        if family in usage.FAMILIES:
            assert re.search(rf"\n  {family} TARGET .*[:,]\s+{member}\b", said, re.DOTALL)
            assert f"\n  {member} " in podway(family, "--help").stdout
        else:
            assert f"\n  {verb} " in said
    assert podway("launch").returncode == 2
    assert podway("help").stdout == said
    assert podway().stdout == said
    assert podway().returncode == 2
    assert re.fullmatch(r"podway \d+\.\d+.*\n", podway("--version").stdout)


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_is_a_screen_with_its_own_options_and_an_example(verb, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    done = podway(*verb.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= usage.SCREEN
    assert max(map(len, lines)) <= 100
    assert f"Example:  podway {verb.partition(' --')[0]}" in done.stdout
    for option in fields.of_class(cli.VERBS[verb].options, {}, Experiment):
        name = option.flag.removeprefix("--")
        assert re.search(rf"^  --(\[no-\])?{re.escape(name)}\b", done.stdout, re.MULTILINE), name
        assert option.text, "say what it is"
    assert ("--help-all explains" in " ".join(done.stdout.split())) == (verb in CONFIGURED)
    # What stands after the verb, and before --help, changes nothing but the first line.
    more = podway(*verb.split(), "x", "y", "--workdir", "w", "-h").stdout.splitlines()
    assert more[1:] == lines[1:]


def test_an_engine_explains_its_own_options():
    assert "--parallelism INT" in podway("data", "x", "--runner", "flink", "--help").stdout
    assert "--parallelism" not in podway("data", "x", "--help").stdout


@pytest.mark.parametrize("verb", ["show", "train", "data"])
def test_help_all_explains_the_fields_by_group(verb):
    done = podway(verb, "movielens_sasrec", "--help-all")
    assert done.returncode == 0
    for text in ("--trainer.steps INT", "Optimizer steps.", "--model.width INT", "Width of the"):
        assert text in done.stdout
    groups = re.findall(r"^\W{1,3}([a-z0-9.-]+) options\b", done.stdout, re.MULTILINE)
    assert groups[:2] == ["data", "data.columns"]
    assert set(groups) > {"model", "optimizer", "trainer", "mesh", "evaluation", "export"}
    without = podway(verb, "--help-all").stdout
    assert "--trainer.steps INT" in without
    assert "--model.width" not in without
    assert "name one to see them" in without


def test_help_all_of_other_verbs_says_all_of_each_option():
    said = " ".join(podway("compare", "--help-all").stdout.split())
    assert "paired t-test over users" in said
    assert "--code" in said
    assert "Read every array" in podway("checkpoints", "--help-all").stdout


def test_help_answers_at_once_and_loads_nothing_heavy():
    code = (
        "import sys, podway.launch.cli as cli\n"
        "try:\n    cli.main(['train', 'movielens_sasrec', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'jax', 'flax', 'tensorflow', 'apache_beam', 'numpy', 'pyarrow', 'polars'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "--num-processes INT" in done.stdout
    # .25 s on an idle machine; a busy one, and the first run after an install, take longer.
    assert after.ru_utime - before.ru_utime < 1.0
    assert in_process_of_its_own("trian").returncode == 2


def test_fields_are_read_as_tyro_names_them():
    experiment = experiments.load("movielens_sasrec")
    found = {option.flag: option for option in fields.of_value(experiment)}
    text = podway("show", "movielens_sasrec", "--help-all").stdout
    shown = set(re.findall(r"^\W{1,2}(--[a-z][\w.-]*)", text, re.MULTILINE))
    own = {option.flag for option in fields.of_class(cli.VERBS["show"].options, {}, Experiment)}
    leaves = {flag for flag, option in found.items() if not option.part}
    negatives = {option.negative for option in found.values()}
    assert shown - own <= leaves | negatives
    unseen = {flag for flag in leaves if not {flag, found[flag].negative} & shown}
    assert {found[flag].default for flag in unseen} <= {(), None}, "no parts in it"
    assert found["--data.extendable"].negative == "--data.no-extendable"
    assert found["--trainer.keep-every"].optional
    assert found["--trainer.batch-size"].text.startswith("Examples in one global batch")
