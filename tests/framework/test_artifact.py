import errno
import json

import pytest
from etils import epath

from framework import artifact
from framework.artifact import ArtifactError


def commit(directory: epath.Path) -> artifact.Manifest:
    return artifact.commit(
        directory, kind="dataset", name="n", version="v", config={}, inputs={}, code="c"
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
    assert len({artifact.version(**each) for each in [parts, *changed]}) == 4


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
