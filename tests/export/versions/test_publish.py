import errno
import json
import os
import pathlib

import pytest
from etils import epath
from google.protobuf import text_format

from podway.export import layout
from podway.export.error import ExportError
from podway.export.versions import models_config, publish
from podway.framework import artifact
from podway.framework.artifact import stage

MANIFEST = {
    "version": "v",
    "config": {},
    "inputs": {},
    "code": "c",
    "details": {"verified": "in a test"},
}


@pytest.fixture
def model(tmp_path) -> pathlib.Path:
    """What publishing takes for a SavedModel: some files."""
    path = tmp_path / "built"
    (path / "assets.extra").mkdir(parents=True)
    (path / "variables").mkdir()
    (path / "saved_model.pb").write_text("graph")
    (path / "variables" / "variables.index").write_text("weights")
    return path


def put(model, workdir, name="m") -> epath.Path:
    return publish.publish(model, name=name, workdir=workdir, **MANIFEST)


def versions(workdir, name="m") -> tuple[int, ...]:
    return models_config.served(layout.server_config(workdir), name).versions


def test_versions_rise_and_the_latest_is_served(model, tmp_path):
    assert [put(model, tmp_path).name for _ in range(3)] == ["1", "2", "3"]
    assert versions(tmp_path) == (3,)
    assert (tmp_path / "models" / "m" / "1" / "variables" / "variables.index").exists()
    assert not list((tmp_path / "models" / "m").glob("_staging*"))


def test_a_number_is_never_used_twice(model, tmp_path):
    put(model, tmp_path)
    put(model, tmp_path).rmtree()
    assert put(model, tmp_path).name == "3"
    (tmp_path / "models" / "m" / "highest_version").unlink()
    (tmp_path / "models" / "m" / "4").mkdir()
    assert put(model, tmp_path).name == "5"


def test_other_models_and_their_labels_stay(model, tmp_path):
    path = tmp_path / "models" / "models.config"
    path.parent.mkdir()
    path.write_text(
        """model_config_list { config {
            name: "other" base_path: "/elsewhere" model_platform: "tensorflow"
            version_labels { key: "stable" value: 4 }
            model_version_policy { specific { versions: 4 versions: 5 } } } }"""
    )
    put(model, tmp_path)
    assert versions(tmp_path, "other") == (4, 5)
    assert versions(tmp_path) == (1,)
    other, own = models_config.read(path).model_config_list.config
    assert dict(other.version_labels) == {"stable": 4}
    assert own.base_path == str(tmp_path / "models" / "m")
    assert models_config.served(path, "other") == models_config.Served((4, 5), {"stable": 4})
    before, after = models_config.Served((4, 5), {"stable": 4}), models_config.Served((5,))
    models_config.write(path, "other", "/elsewhere", after, before)
    assert models_config.served(path, "other") == models_config.Served((5,))


def test_the_base_path_is_absolute(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(model, "w")
    (own,) = models_config.read("w/models/models.config").model_config_list.config
    assert own.base_path == str(tmp_path / "w" / "models" / "m")
    assert own.model_version_policy.WhichOneof("policy_choice") == "specific"


def fail_on(monkeypatch, name: str) -> None:
    """Any write of a file of this name finds the disk full."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    copy, write = type(epath.Path("/")).copy, artifact.write_atomically

    def copy_or_fail(self, target, *arguments, **options):
        if epath.Path(target).name == name:
            epath.Path(target).write_text("ha")
            raise full
        return copy(self, target, *arguments, **options)

    def write_or_fail(path, text):
        if epath.Path(path).name == name:
            raise full
        write(path, text)

    monkeypatch.setattr(type(epath.Path("/")), "copy", copy_or_fail)
    for module in (artifact, stage):
        monkeypatch.setattr(module, "write_atomically", write_or_fail)


@pytest.mark.parametrize(
    "name", ["variables.index", "export.json", "highest_version", "history.jsonl", "models.config"]
)
def test_a_full_disk_publishes_nothing(model, tmp_path, monkeypatch, name):
    put(model, tmp_path)
    before = (tmp_path / "models" / "models.config").read_text()
    with monkeypatch.context() as patch:
        fail_on(patch, name)
        with pytest.raises(OSError, match="No space left"):
            put(model, tmp_path)
    assert (tmp_path / "models" / "models.config").read_text() == before
    left = {path.name for path in (tmp_path / "models" / "m").iterdir()}
    assert left == {"1", "highest_version", "history.jsonl"}
    assert put(model, tmp_path).name == ("2" if name == "highest_version" else "3")


def test_files_of_others_are_refused_with_their_name(model, tmp_path):
    (tmp_path / "models" / "m").mkdir(parents=True)
    config, counter = tmp_path / "models" / "models.config", tmp_path / "models/m/highest_version"
    config.write_text("model_config_list { config { nome: 'm' } }")
    with pytest.raises(ExportError, match=r"models\.config is not a model server.*nome"):
        put(model, tmp_path)
    config.write_text("custom_model_config {}")
    with pytest.raises(ExportError, match="custom_model_config"):
        put(model, tmp_path)
    config.unlink()
    counter.write_text("many")
    with pytest.raises(ExportError, match="highest_version"):
        put(model, tmp_path)
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"m", layout.LOCK}


def test_the_config_is_tensorflow_servings_text_format(model, tmp_path):
    put(model, tmp_path)
    text = (tmp_path / "models" / "models.config").read_text()
    parsed = text_format.Parse(text, models_config.ModelServerConfig())
    assert [config.name for config in parsed.model_config_list.config] == ["m"]
    manifest = json.loads((tmp_path / "models/m/1/assets.extra/export.json").read_text())
    assert manifest["kind"] == "model"
