"""Who may replace the config, and by models of which folders."""

import contextlib
import dataclasses
import os

import grpc
import pytest

from podway.export.server.error import RequestError, ServerError
from podway.export.server.models.config import ModelConfig
from podway.export.server.models.rights import Rights, below
from podway.export.server.options import ServerOptions
from podway.export.server.serve import main
from tests.export.server.conftest import predict_request, running
from tests.export.server.models.test_reload import fails, model, models, reload
from tests.export.server.net.keys import Trust, identity, ssl_config

DENIED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
def one(site):
    site.put(1)
    site.ask_for_versions(1)
    return site


@contextlib.contextmanager
def over_socket(client, path):
    with grpc.insecure_channel(f"unix:{path}") as channel:
        yield dataclasses.replace(client, channel=channel)


def answers(client):
    return client.prediction.Predict(predict_request(history=[["a"]]), timeout=20)


def test_nobody_may_unless_the_server_was_started_so(one, tmp_path):
    path = tmp_path / "grpc"
    with running(one, grpc_socket_path=str(path)) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        with over_socket(client, path) as near:
            for each in (client, near):
                fails(
                    lambda each=each: reload(each, models()),
                    grpc.StatusCode.UNIMPLEMENTED,
                    "start it with --enable_model_management",
                )
        assert answers(client)


def test_clients_of_the_port_may_not_and_those_of_the_socket_may(one, tmp_path):
    path = tmp_path / "grpc"
    options = {"enable_model_management": True, "grpc_socket_path": str(path)}
    with running(one, **options) as client, over_socket(client, path) as near:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        fails(lambda: reload(client, models()), DENIED, "clients of --grpc_socket_path alone")
        assert answers(client)
        reload(near, models(model(one), model(one, "n")))
        assert os.stat(path).st_mode & 0o022 == 0  # whom the system lets connect: those who write


def test_clients_with_a_certificate_may_and_those_without_may_not(one, tmp_path):
    authority = identity("authority")
    server, friend = identity("server", authority), identity("friend", authority)
    file, path = tmp_path / "ssl.config", tmp_path / "grpc"
    options = {"enable_model_management": True, "ssl_config_file": str(file)}
    file.write_text(ssl_config(server, authority, verify=True))
    with running(one, Trust(authority, friend), **options) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        reload(client, models(model(one)))
    file.write_text(ssl_config(server, authority))
    options["grpc_socket_path"] = str(path)
    with running(one, Trust(authority, friend), **options) as client:
        fails(lambda: reload(client, models(model(one))), DENIED, "by mutual TLS")
    del options["grpc_socket_path"]
    with pytest.raises(ServerError, match=f"needs client_verify in ssl_config_file {file}"):
        main(ServerOptions(str(one.config), **options))


def test_models_elsewhere_are_refused_and_nothing_changes(one, tmp_path_factory, library):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    os.symlink(library[2].parent, elsewhere / "m")
    os.symlink(elsewhere, one.root / "link")
    path = one.root / "grpc"
    options = {"enable_model_management": True, "grpc_socket_path": str(path)}
    with running(one, **options) as client, over_socket(client, path) as near:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        for folder in (
            f"{elsewhere}/m",
            f"{one.root}/link/m",
            f"{one.root}/../{elsewhere.name}/m",
            f"{one.root}/m/../../{elsewhere.name}/m",
            f"{one.root}2/m",
            "gs://bucket/m",
            "/",
        ):
            stray = model(one, "n").replace(f"{one.root}/m", folder)
            said = f"model n: base_path {folder} does not lie below {one.root}"
            fails(lambda stray=stray: reload(near, models(model(one), stray)), DENIED, said)
        assert client.states() == {1: "AVAILABLE"}
        assert answers(client)
    wider = running(one, **options, model_root=str(elsewhere.parent))
    with wider as client, over_socket(client, path) as near:
        reload(
            near,
            models(model(one).replace(f"{one.root}/m", f"{one.root}/../{one.root.name}/m")),
        )


@pytest.mark.parametrize(
    ("path", "root", "inside"),
    [
        ("gs://b/models/m", "gs://b/models", True),
        ("gs://b/models/m/", "gs://b/models/", True),
        ("gs://b/models", "gs://b/models", True),
        ("gs://b/models2/m", "gs://b/models", False),
        ("gs://b/models/../secret", "gs://b/models", False),
        ("gs://b/models//m", "gs://b/models", False),
        ("gs://b/models/./m", "gs://b/models", False),
        ("gs://c/models/m", "gs://b/models", False),
        ("s3://b/models/m", "gs://b/models", False),
        ("/b/models/m", "gs://b/models", False),
        ("gs://b/m", "/", False),
        ("file:///m", "/", False),
        ("/anything", "/", True),
        ("/models/m", "/models", True),
        ("/models/../m", "/models", False),
        ("/models2/m", "/models", False),
    ],
)
def test_what_lies_below(path, root, inside):
    assert below(path, root) is inside


@pytest.mark.parametrize(
    ("options", "root"),
    [
        ({"model_config_file": "/srv/models/models.config"}, "/srv/models"),
        ({"model_config_file": "gs://b/w/models/models.config"}, "gs://b/w/models"),
        ({"model_base_path": "/srv/models/m/"}, "/srv/models"),
        ({"model_base_path": "gs://b/models/m/"}, "gs://b/models"),
        ({"model_config_file": "models.config"}, os.getcwd()),
        ({"model_config_file": "/x/models.config", "model_root": "/srv"}, "/srv"),
    ],
)
def test_the_root_without_a_flag_is_where_the_models_are(options, root):
    rights = Rights.of(ServerOptions(**options, enable_model_management=True, grpc_socket_path="s"))
    assert rights == Rights(True, root)
    with pytest.raises(RequestError, match="model n: base_path /etc/n does not lie below"):
        rights.check([ModelConfig("n", "/etc/n")])


def test_a_root_that_means_two_folders_is_refused():
    options = ServerOptions(
        "x", enable_model_management=True, grpc_socket_path="s", model_root="gs://b/../c"
    )
    with pytest.raises(ServerError, match=r"model_root gs://b/\.\./c has empty parts"):
        Rights.of(options)
