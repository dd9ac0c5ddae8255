"""Promotion and rollback, on files; the server's part is in test_model_status.py."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from podway.export import layout
from podway.export.error import ExportError
from podway.export.versions import models_config, promote, publish
from podway.export.versions.models_config import Served
from podway.framework.artifact import ArtifactError
from podway.launch import cli
from tests.test_walls import ROOT


def put(workdir: pathlib.Path, *, verified: bool = True) -> int:
    """What publishing takes for a SavedModel, published."""
    built = workdir.with_name(f"{workdir.name}-built")
    built.mkdir(exist_ok=True)
    (built / "saved_model.pb").write_text("graph")
    details = {"verified": "in a test"} if verified else {}
    given = {"version": "v", "config": {}, "inputs": {}, "code": "c", "details": details}
    return int(publish.publish(built, name="m", workdir=workdir, **given).name)


def served(workdir) -> Served:
    return models_config.served(layout.server_config(workdir), "m")


def moves(workdir) -> list[tuple]:
    _, _, entries = promote.read("m", workdir)
    return [(each.action, each.label, each.origin, each.target) for each in entries]


@pytest.fixture
def workdir(tmp_path) -> pathlib.Path:
    """Three versions, of which the last serves."""
    for _ in range(3):
        put(tmp_path / "w")
    return tmp_path / "w"


def test_without_labels_a_promotion_serves_alone_and_a_rollback_undoes_it(workdir):
    assert promote.promote("m", 1, workdir) == "m: requests without a label: 3 → 1"
    assert served(workdir) == Served((1,))
    assert promote.rollback("m", workdir) == "m: requests without a label: 1 → 3"
    assert served(workdir) == Served((3,))


def test_rolling_back_again_goes_back_further(workdir):
    assert [served(workdir) for _ in (0, 0) if promote.rollback("m", workdir)] == [
        Served((2,)),
        Served((1,)),
    ]
    with pytest.raises(ExportError, match=r"no earlier version; `podway versions m`"):
        promote.rollback("m", workdir)
    assert put(workdir) == 4
    assert served(workdir) == Served((4,))
    promote.rollback("m", workdir)
    assert served(workdir) == Served((1,))
    assert moves(workdir) == [
        ("export", "", None, 1),
        ("export", "", 1, 2),
        ("export", "", 2, 3),
        ("rollback", "", 3, 2),
        ("rollback", "", 2, 1),
        ("export", "", 1, 4),
        ("rollback", "", 4, 1),
    ]


def test_a_label_moves_only_once_its_version_is_asked_for(workdir):
    done = promote.promote("m", 2, workdir, label="stable")
    assert "step 1 of 2" in done
    assert served(workdir) == Served((2, 3))
    promote.promote("m", 2, workdir, label="stable")
    assert served(workdir) == Served((2, 3), {"stable": 2})
    promote.promote("m", 3, workdir, label="stable")
    assert served(workdir) == Served((3,), {"stable": 3})
    promote.rollback("m", workdir, label="stable")
    assert served(workdir) == Served((2, 3), {"stable": 3}), "2 is to be loaded first"
    promote.rollback("m", workdir, label="stable")
    assert served(workdir) == Served((2, 3), {"stable": 2})
    promote.rollback("m", workdir, label="stable")
    assert served(workdir) == Served((3,)), "it was not there before"
    with pytest.raises(ExportError, match="label 'stable' has no earlier version"):
        promote.rollback("m", workdir, label="stable")


def test_an_export_leaves_labels_and_their_versions(workdir):
    promote.promote("m", 3, workdir, label="stable")
    put(workdir)
    assert served(workdir) == Served((3, 4), {"stable": 3})
    put(workdir)
    assert served(workdir) == Served((3, 5), {"stable": 3}), "4 has no label"
    promote.rollback("m", workdir)
    assert served(workdir) == Served((3, 4), {"stable": 3})


def test_a_label_above_the_promoted_version_would_get_all_requests(workdir):
    promote.promote("m", 3, workdir, label="canary")
    with pytest.raises(ExportError, match=r"canary at 3 is above 2; .*podway rollback m --label"):
        promote.promote("m", 2, workdir)
    assert served(workdir) == Served((3,), {"canary": 3})
    promote.rollback("m", workdir, label="canary")
    promote.promote("m", 2, workdir)
    said = promote.promote("m", 3, workdir, label="canary")
    assert "step 1 of 2" in said
    assert said.endswith("; requests without a label go to the highest version, now 3")
    assert promote.promote("m", 3, workdir, label="canary") == "m: label 'canary': – → 3"
    assert served(workdir) == Served((2, 3), {"canary": 3})
    assert promote.read("m", workdir)[1] == 2
    promote.rollback("m", workdir, label="canary")
    assert served(workdir) == Served((2,))


def test_a_move_that_leaves_the_config_as_it_is_took_place(workdir):
    for version, label in ((2, ""), (2, "stable"), (3, "canary"), (3, "canary")):
        promote.promote("m", version, workdir, label=label)
    before = served(workdir)
    assert promote.promote("m", 3, workdir) == "m: requests without a label: 2 → 3"
    assert served(workdir) == before == Served((2, 3), {"canary": 3, "stable": 2})
    put(workdir)
    assert moves(workdir)[-2:] == [("promote", "", 2, 3), ("export", "", 3, 4)]


def test_what_was_not_verified_or_was_altered_is_refused(workdir):
    other = put(workdir, verified=False)
    promote.rollback("m", workdir)
    before = served(workdir)
    with pytest.raises(ExportError, match=r"m/4 was never verified.*export it again"):
        promote.promote("m", other, workdir)
    (workdir / "models" / "m" / "2" / "saved_model.pb").write_text("grapf")
    with pytest.raises(ArtifactError, match=r"saved_model\.pb was altered"):
        promote.promote("m", 2, workdir, label="canary")
    with pytest.raises(ArtifactError, match=r"saved_model\.pb was altered"):
        promote.rollback("m", workdir)
    with pytest.raises(ExportError, match="published versions are: 1, 2, 3, 4"):
        promote.promote("m", 9, workdir)
    with pytest.raises(ExportError, match=r"'n' is published in .*--workdir.*: m"):
        promote.promote("n", 1, workdir)
    assert served(workdir) == before


def test_a_config_that_was_edited_by_hand_is_what_counts(workdir):
    config, home = layout.server_config(workdir), workdir / "models" / "m"
    models_config.write(config, "m", home, Served((1, 2), {"stable": 1}), served(workdir))
    assert promote.read("m", workdir)[1] == 2
    promote.promote("m", 2, workdir, label="stable")
    assert served(workdir) == Served((2,), {"stable": 2})
    promote.rollback("m", workdir, label="stable")
    promote.rollback("m", workdir, label="stable")
    assert served(workdir) == Served((1, 2), {"stable": 1})


def test_a_promotion_to_where_it_is_writes_no_history(workdir):
    before = moves(workdir)
    assert "already at version 3" in promote.promote("m", 3, workdir)
    assert moves(workdir) == before


def test_a_history_that_is_none_is_named_with_its_line(workdir):
    path = workdir / "models" / "m" / "history.jsonl"
    path.write_text(path.read_text() + '{"when": 1}\n')
    with pytest.raises(ExportError, match=r"history\.jsonl, line 4 is no entry"):
        promote.read("m", workdir)


KILL = """
import os, signal, sys
from tests.export.versions import test_promote as test_versions

WRITES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")

def count(event, arguments):
    global left
    opens = event == "open" and isinstance(arguments[2], int)
    if event in WRITES or opens and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        left -= str(workdir) in str(arguments[0])
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

action, before, folder = sys.argv[1], *map(test_versions.pathlib.Path, sys.argv[2:])
for left in range(100):
    workdir = test_versions.copy(before, folder / str(left) / "w")
    if (child := os.fork()) == 0:
        sys.addaudithook(count)
        test_versions.ACTIONS[action](workdir)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
        break
"""
ACTIONS = {
    "export": put,
    "promote": lambda workdir: promote.promote("m", 2, workdir),
    "load": lambda workdir: promote.promote("m", 1, workdir, label="canary"),
    "move": lambda workdir: promote.promote("m", 3, workdir, label="stable"),
    "back": lambda workdir: promote.rollback("m", workdir, label="stable"),
}
"""What is killed, on a workdir with 3 (no label) and 2 (stable)."""


@pytest.mark.parametrize("action", ACTIONS)
def test_a_kill_at_any_write_leaves_the_old_or_the_new(workdir, tmp_path, action):
    for _ in range(2):
        promote.promote("m", 2, workdir, label="stable")
    old = (served(workdir), moves(workdir))
    done = copy(workdir, tmp_path / "done" / "w")
    ACTIONS[action](done)
    new = (served(done), moves(done))
    assert new[0] != old[0]
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", KILL, action, os.fspath(workdir), os.fspath(killed)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    found = []
    for kill in range(len(list(killed.iterdir()))):
        left = killed / str(kill) / "w"
        found.append((served(left), moves(left)))
        assert found[-1] in (old, new), f"killed at write {kill}"
        if found[-1] == old and action != "export":
            ACTIONS[action](left)
            assert (served(left), moves(left)) == new, f"again, after a kill at write {kill}"
        assert served(left).versions[-1] < put(left) == served(left).versions[-1]
    assert found[0] == old
    assert found[-1] == new
    assert len(found) > 5, "writes were not counted"


def copy(before: pathlib.Path, after: pathlib.Path) -> pathlib.Path:
    """A workdir elsewhere; the config's base_path is absolute."""
    shutil.copytree(before, after)
    config = after / "models" / "models.config"
    config.write_text(config.read_text().replace(str(before), str(after)))
    return after


def podway(capsys, *arguments: str) -> tuple[int, str]:
    code = 0
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_the_command_promotes_rolls_back_and_shows(workdir, capsys):
    at = ("--workdir", os.fspath(workdir))
    assert podway(capsys, "promote", "m", "3", "--label", "stable", *at)[0] == 0
    code, text = podway(capsys, "versions", "m", *at)
    assert code == 0
    assert "3        " in text
    assert "Requests without a label get version 3." in text
    last = text.strip().splitlines()[-1].split()
    assert last[1:] == ["promote", "stable", "–", "3"]
    assert podway(capsys, "rollback", "m", *at) == (
        1,
        "podway: error: m: requests without a label go to the highest version that is loaded, and"
        " stable at 3 is above 2; move that label first (`podway rollback m --label …`), or let"
        " clients name a label\n",
    )
    assert podway(capsys, "promote", "m", "new", *at)[1].startswith(
        "podway: error: 'new' is no version"
    )
    assert podway(capsys, "promote", "m", "1", "--timeout", "0", *at)[1].startswith(
        "podway: error: --timeout is 0"
    )
    code, text = podway(capsys, "promote", "m")
    assert (code, text.startswith("usage: podway promote MODEL VERSION")) == (2, True)
    history = (workdir / "models" / "m" / "history.jsonl").read_text().splitlines()
    assert json.loads(history[-1])["target"] == 3
