"""Several processes change what a workdir serves: nothing is lost, and what is reported is so."""

import collections
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from podway.export import layout
from podway.export.error import ExportError
from podway.export.versions import models_config, promote, publish, turn
from tests.export.versions.changes import NAMES
from tests.export.versions.test_publish import MANIFEST, model  # noqa: F401 (a fixture)

ROOT = pathlib.Path(__file__).parents[3]


def run_at_once(start, saved, workdir, processes: int, seconds: float) -> list[tuple]:
    """What so many processes report as done."""
    arguments = ("-m", "tests.export.versions.changes", os.fspath(saved), os.fspath(workdir))
    started = [start(*arguments, str(seed), str(seconds)) for seed in range(processes)]
    for process in started:
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    done = []
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        out, err = process.communicate(timeout=seconds + 300)
        assert process.returncode == 0, err
        done += [tuple(json.loads(line)) for line in out.splitlines()]
    return done


def here(*arguments: str) -> subprocess.Popen:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, text=True, **pipes)


def check(workdir, done: list[tuple]) -> None:
    """Every change that was reported is in the history, once, and none else; none is undone."""
    reported = collections.Counter(each for each in done if each[1] not in ("export", "load"))
    exported = [(name, target) for name, action, *_, target in done if action == "export"]
    assert len(set(exported)) == len(exported), "a number was used twice"
    written = collections.Counter()
    for name in NAMES:
        if not publish.published(name, workdir):
            continue  # none happened to be exported
        served, unlabelled, entries = promote.read(name, workdir)
        at: dict[str, int | None] = {}
        for entry in entries:
            if entry.action == "load":
                continue
            if entry.label or "" in at:
                assert entry.origin == at.get(entry.label), (name, entry, at)
            at[entry.label] = entry.target
            if entry.action != "export":
                written[(name, entry.action, entry.label, entry.origin, entry.target)] += 1
        labels = {label: number for label, number in at.items() if label and number}
        assert served.labels == labels, name
        # A label that went to a version before its export was over had it served already.
        assert unlabelled == at.get("", unlabelled), name
        assert {*labels.values(), unlabelled} <= {*served.versions}, name
        own = [target for of, target in exported if of == name]
        assert {entry.target for entry in entries if entry.action == "export"} <= {*own}
        assert set(publish.published(name, workdir)) == {*own}
    assert written == reported


def test_what_several_processes_report_is_so(model, tmp_path):  # noqa: F811
    done = run_at_once(here, model, tmp_path, processes=4, seconds=2.5)
    check(tmp_path, done)
    assert done


@pytest.mark.slow
def test_what_eight_processes_report_for_a_minute_is_so(model, tmp_path):  # noqa: F811
    done = run_at_once(here, model, tmp_path, processes=8, seconds=60)
    check(tmp_path, done)
    assert len(done) > 200


@pytest.mark.slow
def test_what_several_processes_report_on_gs_is_so(model, strict_store):  # noqa: F811
    workdir = f"{strict_store.bucket()}/w"

    def start(*arguments: str) -> subprocess.Popen:
        environment = strict_store.environment()
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [sys.executable, *arguments]
        return subprocess.Popen(command, cwd=ROOT, text=True, env=environment, **pipes)

    done = run_at_once(start, model, workdir, processes=3, seconds=15)
    program = (
        "import json, sys; from tests.export.versions.test_turn import check;"
        "check(sys.argv[1], [tuple(each) for each in json.load(sys.stdin)])"
    )
    checked = subprocess.run(
        [sys.executable, "-c", program, workdir],
        **{"cwd": ROOT, "env": strict_store.environment(), "text": True, "capture_output": True},
        input=json.dumps(done),
    )
    assert checked.returncode == 0, checked.stderr
    assert "models/models.config" in strict_store.names(workdir)
    assert not [name for name in strict_store.names(workdir) if "_lock" in name]


def test_first_exports_of_several_models_are_all_served(model, tmp_path):  # noqa: F811
    """Each round is the moment at which models.config is written for the first time."""
    for number in range(5):
        workdir, barrier = tmp_path / str(number), threading.Barrier(4)

        def put(name, workdir=workdir, barrier=barrier):
            barrier.wait()
            publish.publish(model, name=name, workdir=workdir, **MANIFEST)

        threads = [threading.Thread(target=put, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        config = models_config.read(layout.server_config(workdir)).model_config_list.config
        assert {entry.name for entry in config} == {*"abcd"}


def test_who_is_killed_gives_its_turn_back_and_who_hangs_is_said(tmp_path):
    program = (
        "import sys, time; from podway.export.versions.turn import turn\n"
        "with turn(sys.argv[1]): print('mine', flush=True); time.sleep(60)"
    )
    holder = here("-c", program, os.fspath(tmp_path))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    said = r"changing what .*/models serves for 0.1 s; wait for it"
    with pytest.raises(ExportError, match=said), turn.turn(tmp_path, patience=0.1):
        pytest.fail("two have the turn")
    holder.kill()
    holder.wait()
    with turn.turn(tmp_path, patience=5):
        pass


def test_of_two_rollbacks_at_the_same_moment_one_is_refused(model, tmp_path, monkeypatch):  # noqa: F811
    for _ in range(3):
        publish.publish(model, name="m", workdir=tmp_path, **MANIFEST)

    def check(directory):
        """Another process is quicker, while this one still reads the version's files."""
        monkeypatch.setattr(promote, "check_admissible", lambda directory: None)
        promote.rollback("m", tmp_path)

    monkeypatch.setattr(promote, "check_admissible", check)
    with pytest.raises(ExportError, match="another process moved it at the same time"):
        promote.rollback("m", tmp_path)
    assert models_config.served(layout.server_config(tmp_path), "m").versions == (2,)


def test_a_writer_that_lost_its_turn_writes_nothing(model, tmp_path):  # noqa: F811
    publish.publish(model, name="m", workdir=tmp_path, **MANIFEST)
    config, home = layout.server_config(tmp_path), tmp_path / "models" / "m"
    stale = models_config.served(config, "m")
    publish.publish(model, name="m", workdir=tmp_path, **MANIFEST)
    with pytest.raises(ExportError, match="changed by somebody else meanwhile"):
        models_config.write(config, "m", home, stale, stale)
    assert models_config.served(config, "m").versions == (2,)
