"""Promotion beside a running server: labels move once it says AVAILABLE."""

import pathlib
import threading

import pytest

from podway.export import layout
from podway.export.error import ExportError
from podway.export.versions import models_config, promote, publish, status
from podway.export.versions.models_config import Served
from tests.export.server.conftest import (
    Site,
    free_port,
    library,  # noqa: F401 (a fixture)
    predict_request,
    running,
)


def put(workdir: pathlib.Path, model: pathlib.Path) -> None:
    given = {"version": "v", "config": {}, "inputs": {}, "code": "c"}
    publish.publish(model, name="m", workdir=workdir, details={"verified": "yes"}, **given)


@pytest.fixture
def workdir(tmp_path, library) -> pathlib.Path:  # noqa: F811
    """Versions 1 and 2 of a model; a third that cannot be loaded."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "saved_model.pb").write_text("no graph")
    for model in (library[1], library[2], broken):
        put(tmp_path / "w", model)
    promote.promote("m", 1, tmp_path / "w")
    return tmp_path / "w"


def served(workdir) -> Served:
    return models_config.served(layout.server_config(workdir), "m")


def answer(client, label: str) -> str:
    request = predict_request(history=[["a"]])
    request.model_spec.version_label = label
    return client.prediction.Predict(request).outputs["item"].string_val[1].decode()


def test_a_label_moves_once_its_version_is_available(workdir):
    with running(Site(workdir / "models", {})) as client:
        server = promote.Server(f"127.0.0.1:{client.grpc_port}", 30)
        promote.promote("m", 1, workdir, label="stable", server=server)
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        stop, wrong = threading.Event(), []

        def ask() -> None:
            while not stop.is_set():
                try:
                    answer(client, "stable")
                except Exception as error:
                    wrong.append(error)
                    return

        client.wait_for(lambda: client.rest("/v1/models/m/labels/stable")[0] == 200)
        asking = threading.Thread(target=ask)
        asking.start()
        done = promote.promote("m", 2, workdir, label="stable", server=server)
        assert done == "m: label 'stable': 1 → 2"
        client.wait_for(lambda: answer(client, "stable") == "v2")
        promote.rollback("m", workdir, label="stable", server=server)
        client.wait_for(lambda: answer(client, "stable") == "v1")
        stop.set()
        asking.join()
        assert not wrong, "a request for the label failed while it moved"
        before = served(workdir)
        with pytest.raises(ExportError, match=r"could not load m version 3: .*no SavedModel"):
            promote.promote("m", 3, workdir, label="canary", server=server)
        assert served(workdir) == before
        assert promote.read("m", workdir)[2][-1].action == "rollback"


def test_a_server_that_is_none_or_does_not_follow_is_said(workdir, monkeypatch):
    monkeypatch.setattr(status, "PATIENCE", 0.5)
    before = served(workdir)
    with pytest.raises(ExportError, match=r"--server 127.0.0.1:\d+ does not answer \(UNAVAILABLE"):
        server = promote.Server(f"127.0.0.1:{free_port()}", 5)
        promote.promote("m", 2, workdir, label="canary", server=server)
    assert served(workdir) == before
    with running(Site(workdir / "models", {})) as client:
        other = workdir.with_name("other")
        for _ in range(2):
            put(other, workdir / "models" / "m" / "1")
        server = promote.Server(f"127.0.0.1:{client.grpc_port}", 1)
        with pytest.raises(ExportError, match=r"after 1 s \(--timeout\): .* watch the models.conf"):
            promote.promote("m", 2, other, label="canary", server=server)
    assert served(other) == Served((2,))
