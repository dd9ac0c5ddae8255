import dataclasses
import errno
import importlib.metadata
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from etils import epath

from podway.framework import artifact
from podway.framework.artifact import ArtifactError
from podway.framework.code import provenance

ROOT = pathlib.Path(__file__).parents[3]


def commit(directory: epath.Path, **more: Any) -> artifact.Manifest:
    return artifact.commit(
        directory, kind="dataset", name="n", version="v", config={}, inputs={}, code="c", **more
    )


@pytest.fixture
def committed(tmp_path) -> epath.Path:
    target = epath.Path(tmp_path) / "datasets" / "n" / "v"
    with artifact.staging(target) as stage:
        (stage / "train").mkdir()
        (stage / "train" / "part").write_text("rows")
        commit(stage)
    return target


def test_staging_leaves_only_the_committed_directory(committed):
    assert [path.name for path in committed.parent.iterdir()] == ["v"]
    manifest = artifact.read(committed, "dataset")
    assert [file.path for file in manifest.files] == ["train/part"]
    assert manifest.packages["jax"]


def test_a_failure_while_staging_leaves_nothing(tmp_path):
    target = epath.Path(tmp_path) / "v"
    with pytest.raises(OSError, match="No space"), artifact.staging(target) as stage:
        (stage / "part").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(epath.Path(tmp_path).iterdir()) == []


def test_a_committed_artefact_is_never_replaced(committed):
    with pytest.raises(ArtifactError, match="somebody else"), artifact.staging(committed) as stage:
        (stage / "train").mkdir()
        (stage / "train" / "part").write_text("other")
        commit(stage)
    assert (committed / "train" / "part").read_text() == "rows"


def test_an_uncommitted_leftover_is_replaced(tmp_path):
    target = epath.Path(tmp_path) / "v"
    target.mkdir()
    (target / "stale").write_text("from a crash")
    with artifact.staging(target) as stage:
        (stage / "part").write_text("rows")
        commit(stage)
    assert sorted(artifact.walk(target)) == ["manifest.json", "part"]


def _commit(target: epath.Path, **options) -> subprocess.Popen:
    """In a process of its own; see committer.py."""
    text = json.dumps({"rows": "rows", **options})
    command = [sys.executable, "-m", "tests.framework.committer", str(target), text]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("leftover", [False, True])
@pytest.mark.parametrize("point", ["publish", "clear", "rename"])
def test_of_two_racing_processes_one_commits(tmp_path, point, leftover):
    target, barrier = epath.Path(tmp_path) / "w" / "v", tmp_path / "barrier"
    barrier.mkdir()
    if leftover:
        (target / "train").mkdir(parents=True)
    wait = {"wait_at": point, "barrier": str(barrier), "patience": 0.5}
    racers = [_commit(target, name=name, rows=name, **wait) for name in "ab"]
    found = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert sorted(found) == [f"{target} was committed by somebody else meanwhile", "committed"]
    artifact.read(target, "dataset")
    assert (target / "train" / "a").read_text() == f"{'ab'[found.index('committed')]} of train/a"
    assert [path.name for path in target.parent.iterdir()] == ["v"]


@pytest.mark.parametrize("point", ["write", "publish", "rename"])
def test_a_killed_process_leaves_nothing_committed_and_can_be_repeated(tmp_path, point):
    target = epath.Path(tmp_path) / "w" / "v"
    assert _commit(target, kill_at=point).wait(60) == -signal.SIGKILL
    assert not target.exists()
    (left,) = target.parent.iterdir()
    process = _commit(target)
    assert process.communicate(timeout=60)[0] == "committed\n"
    artifact.read(target, "dataset")
    assert left.exists()  # it might be another process's


def test_what_killed_processes_left_is_removed_after_a_week(tmp_path):
    target = epath.Path(tmp_path) / "v"
    old, fresh, other = (tmp_path / f"_staging-{name}" for name in ("v-1", "v-2", "u-1"))
    for stage in (old, fresh, other):
        (stage / "train").mkdir(parents=True)
        (stage / "train" / "part").write_text("half")
    a_week_ago = time.time() - (artifact.LEFTOVER_DAYS + 0.1) * 86_400
    for stage in (old, other):
        for path in (stage, stage / "train", stage / "train" / "part"):
            os.utime(path, (a_week_ago, a_week_ago))
    stage = artifact.stage_for(target)
    assert sorted(tmp_path.iterdir()) == sorted([pathlib.Path(stage), fresh, other])
    assert artifact.target_of(stage) == target


def test_only_stores_with_a_way_to_commit(tmp_path):
    with pytest.raises(ArtifactError, match=r"s3://b/v: .* to local folders and to gs:// only"):
        artifact.stage_for("s3://b/v")


def test_readers_refuse_what_is_incomplete_altered_or_foreign(committed):
    part, manifest = committed / "train" / "part", committed / "manifest.json"
    with pytest.raises(ArtifactError, match="is a dataset, not a run"):
        artifact.read(committed, "run")
    part.write_text("ROWS")
    with pytest.raises(ArtifactError, match=r"train/part was altered"):
        artifact.read(committed, "dataset")
    part.write_text("rows and more")
    with pytest.raises(ArtifactError, match="has 13 bytes; the manifest says 4"):
        artifact.read(committed, "dataset")
    part.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        artifact.read(committed, "dataset")
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(ArtifactError, match="format 99; this Podway reads format 1"):
        artifact.read(committed, "dataset")
    manifest.write_text('{"format":')
    with pytest.raises(ArtifactError, match="is not a manifest"):
        artifact.read(committed, "dataset")
    manifest.unlink()
    with pytest.raises(ArtifactError, match="is no committed dataset"):
        artifact.read(committed, "dataset")


def test_version_follows_each_of_its_parts():
    parts = {"kind": "run", "config": {"a": 1}, "inputs": {"dataset": "d"}, "code": "c"}
    changed = [
        parts | {"config": {"a": 2}},
        parts | {"inputs": {"dataset": "e"}},
        parts | {"code": "d"},
    ]
    versions = [artifact.version(**each) for each in [parts, *changed]]
    assert len(set(versions)) == 4
    identities = [artifact.identity_of(version) for version in versions]
    assert len(set(identities)) == 3
    assert identities[0] == identities[3], "the code is a part of its own"


def test_write_atomically_keeps_the_old_text_when_the_disk_is_full(tmp_path, monkeypatch):
    path = epath.Path(tmp_path) / "models.config"
    path.write_text("old")

    def full(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OSError, match="No space"):
        artifact.write_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["models.config"]


def test_files_of_another_version(committed):
    path = artifact.reference("train/part", "v")
    assert (path, artifact.place(path)) == ("../v/train/part", "train/part")
    assert artifact.reference(path, "w") == path
    shared = dataclasses.replace(artifact.read(committed, "dataset").files[0], path=path)
    target = committed.parent / "w"
    with artifact.staging(target) as stage:
        commit(stage, references=[shared])
    assert artifact.read(target, "dataset").files == (shared,)
    assert artifact.resolve(target, path).read_text() == "rows"
    # In an object store ".." is a name like any other.
    assert str(artifact.resolve("gs://b/d/w", path)) == "gs://b/d/v/train/part"
    (committed / "train" / "part").write_text("sowr")
    with pytest.raises(ArtifactError, match="v/train/part was altered"):
        artifact.read(target, "dataset")
    artifact.read(target, "dataset", unread=("train/",))


def test_a_checkout_that_is_not_installed_has_no_list_of_packages(monkeypatch):
    """A run must not fail for it at its very end."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert provenance.packages.__wrapped__() == {}


def test_a_page_that_is_written_anew_is_no_part_of_the_artefact(tmp_path):
    for name in ("a", "page.html"):
        (tmp_path / name).write_text("x")
    committed = artifact.commit(
        tmp_path,
        kind="run",
        name="n",
        version="1",
        config={},
        inputs={},
        code="",
        unlisted=("page.html",),
    )
    assert [file.path for file in committed.files] == ["a"]
    (tmp_path / "page.html").write_text("another")
    artifact.read(tmp_path, "run")
    (tmp_path / "a").write_text("another")
    with pytest.raises(artifact.ArtifactError, match="a has 7 bytes"):
        artifact.read(tmp_path, "run")
