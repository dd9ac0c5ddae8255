"""--verify_models_with: what is not signed, or not as it was signed, is not loaded."""

import pytest
from etils import epath

from podway.export import layout
from podway.export.server.error import ServerError
from podway.export.server.serve import ServerOptions, main
from podway.export.signature import signed
from podway.export.signature.minisign import SecretKey
from podway.framework import artifact
from tests.export.server.conftest import predict_request, running

KEY = SecretKey.new()


def publish(site, version, key: SecretKey | None = KEY, place: str = ""):
    """A version with a manifest, which is signed."""
    target = site.put(version)
    (target / layout.MANIFEST).parent.mkdir(exist_ok=True)
    artifact.commit(
        target,
        kind="model",
        name="m",
        version="v",
        config={},
        inputs={},
        code="c",
        manifest=layout.MANIFEST,
    )
    if key is not None:
        signed.sign(epath.Path(target), place or signed.place(target), key)
    return target


@pytest.fixture
def options(tmp_path):
    file = tmp_path / "key.pub"
    file.write_text(KEY.public.text)
    return {"verify_models_with": str(file)}


def item(client):
    answer = client.prediction.Predict(predict_request(history=[["a"]]), timeout=20)
    return answer.outputs["item"].string_val[1].decode()


def error_of(client, version):
    _, answer = client.rest(f"/v1/models/m/versions/{version}")
    return answer["model_version_status"][0]["status"]["error_message"]


def test_a_signed_version_serves_and_others_do_not_take_its_place(site, options):
    publish(site, 1)
    site.ask_for_versions(1)
    with running(site, **options) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        assert item(client) == "v1"
        publish(site, 2, key=None)
        publish(site, 3, key=SecretKey.new())
        site.ask_for_versions(1, 2, 3)
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "END", 3: "END"})
        assert "m/2, by --verify_models_with: m/2 is not signed" in error_of(client, 2)
        assert "is signed by key" in error_of(client, 3)
        assert item(client) == "v1"


def test_a_version_that_is_signed_later_serves_at_the_next_try(site, options):
    target = publish(site, 1, key=None)
    site.ask_for_versions(1)
    options |= {"max_num_load_retries": 1000, "load_retry_interval_micros": 50_000}
    with running(site, **options) as client:
        client.wait_for(lambda: "m/1 is not signed" in error_of(client, 1))
        signed.sign(epath.Path(target), "m/1", KEY)
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        assert item(client) == "v1"


def test_an_altered_version_and_one_of_another_place_are_refused(site, options):
    altered = publish(site, 1)
    with (altered / "saved_model.pb").open("ab") as file:
        file.write(b"more")
    publish(site, 2, place="m/1")
    site.ask_for_versions(1, 2)
    with running(site, **options) as client:
        client.wait_for(lambda: client.states() == {1: "END", 2: "END"})
        assert "saved_model.pb has" in error_of(client, 1)
        assert "m/2 holds what was signed as m/1" in error_of(client, 2)


def test_what_serves_is_the_servers_own_copy_and_goes_with_it(site, options, tmp_path, monkeypatch):
    own = tmp_path / "tmp"
    own.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(own))
    publish(site, 1)
    publish(site, 2)
    site.ask_for_versions(1)
    with running(site, **options) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        (copy,) = own.glob("podway-signed-*")
        assert {path.name for path in copy.iterdir()} == {"1"}
        site.ask_for_versions(2)
        client.wait_for(lambda: client.states() == {1: "END", 2: "AVAILABLE"})
        (copy,) = own.glob("podway-signed-*")
        assert {path.name for path in copy.iterdir()} == {"2"}
    assert not list(own.glob("podway-signed-*"))


def test_a_key_that_cannot_be_used_stops_the_start(site):
    site.ask_for_versions(1)
    with pytest.raises(ServerError, match=r"verify_models_with: /no/key\.pub cannot be read"):
        main(ServerOptions(str(site.config), port="any", verify_models_with="/no/key.pub"))
