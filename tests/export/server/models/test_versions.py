"""Retries, labels, warm-up and batching of versions."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import logging

import grpc
import pytest
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import predict_pb2

from podway.export.server.error import ServerError
from podway.export.server.net import monitoring
from podway.export.server.options import ANY, ServerOptions
from podway.export.server.runtime import servable, session
from podway.export.server.serve import main
from tests.export.server.conftest import predict_request, running

BAD = predict_request(signature="x", history=[["a"]])


def label(name, version):
    return f'version_labels {{ key: "{name}" value: {version} }}'


def by_label(client, name):
    request: predict_pb2.PredictRequest = predict_request(history=[["a"]])
    request.model_spec.version_label = name
    return client.prediction.Predict(request, timeout=20).outputs["item"].string_val[1].decode()


def error_of(client, version):
    _, answer = client.rest(f"/v1/models/m/versions/{version}")
    return answer["model_version_status"][0]["status"]["error_message"]


def test_a_version_that_fails_is_tried_again_and_then_says_why(site, caplog):
    site.put(1)
    site.ask_for_versions(1)
    retries = {"max_num_load_retries": 2, "load_retry_interval_micros": 200_000}
    with running(site, **retries) as client, caplog.at_level(logging.INFO):
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        site.put(2, BAD)
        site.ask_for_versions(2)
        client.wait_for(lambda: client.states().get(2) == "LOADING" and error_of(client, 2))
        assert '"x" not found' in error_of(client, 2)
        client.wait_for(lambda: client.states().get(2) == "END")
        assert '"x" not found' in error_of(client, 2)
        assert client.states()[1] == "AVAILABLE"
        assert caplog.text.count("m version 2: loading") == 3
        assert caplog.text.count("m version 2: not served") == 1


def test_a_version_that_is_mended_serves_at_its_next_try(site):
    site.ask_for_versions(2)
    directory = site.put(2, BAD)
    with running(site, max_num_load_retries=100, load_retry_interval_micros=100_000) as client:
        client.wait_for(lambda: client.states() == {2: "LOADING"} and error_of(client, 2) != "")
        (directory / "assets.extra" / "tf_serving_warmup_requests").unlink()
        client.wait_for(lambda: client.states() == {2: "AVAILABLE"})
        assert error_of(client, 2) == ""


def test_a_version_that_waits_for_its_next_try_ends_when_it_is_not_wanted(site):
    site.put(1)
    site.put(2, BAD)
    site.ask_for_versions(1, 2)
    with running(site, max_num_load_retries=5, load_retry_interval_micros=10**9) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "LOADING"})
        client.wait_for(lambda: error_of(client, 2) != "")
        site.ask_for_versions(1)
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "END"})


def test_without_warm_up_a_version_serves_whose_warm_up_would_fail(site):
    site.put(1, BAD)
    site.ask_for_versions(1)
    with running(site, enable_model_warmup=False) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})


def test_a_label_moves_only_to_a_version_that_serves(site, caplog):
    site.put(1)
    site.ask_for_versions(1, more=label("stable", 1))
    with running(site) as client, caplog.at_level(logging.ERROR):
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        assert by_label(client, "stable") == "v1"
        site.put(2)
        site.ask_for_versions(1, 2, more=label("stable", 2))
        client.wait_for(lambda: "the last good config stays" in caplog.text)
        assert "Request to assign label to version 2 of model m" in caplog.text
        assert by_label(client, "stable") == "v1"
        assert client.states() == {1: "AVAILABLE"}  # the config is refused as a whole
        site.ask_for_versions(1, 2, more=label("stable", 1))
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "AVAILABLE"})
        site.ask_for_versions(1, 2, more=label("stable", 2))
        client.wait_for(lambda: by_label(client, "stable") == "v2")
        caplog.clear()
        site.ask_for_versions(1, 2, more=label("stable", 2) + label("canary", 7))
        client.wait_for(lambda: "--allow_version_labels_for_unavailable_models" in caplog.text)


def test_the_flag_lets_an_unused_label_wait_for_its_version(site, caplog):
    site.put(1)
    site.ask_for_versions(1)
    flag = {"allow_version_labels_for_unavailable_models": True}
    with running(site, **flag) as client, caplog.at_level(logging.ERROR):
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        site.ask_for("all {}", more=label("next", 2))
        with pytest.raises(AssertionError):
            client.wait_for(lambda: "assign label" in caplog.text, seconds=0.5)
        with pytest.raises(grpc.RpcError) as raised:
            client.wait_for(lambda: by_label(client, "next") == "v1", seconds=1)
        assert raised.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
        site.put(2)
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "AVAILABLE"})
        assert by_label(client, "next") == "v2"
        site.ask_for("all {}", more=label("next", 3))  # but no label in use
        client.wait_for(lambda: "assign label to version 3" in caplog.text)
        assert by_label(client, "next") == "v2"


def test_a_models_own_batching_parameters(site, tmp_path):
    """Version 1 refuses large requests by its own file; version 2 has none."""
    text = "max_batch_size { value: 2 } enable_large_batch_splitting { value: false }"
    (site.put(1) / "batching_params.pbtxt").write_text(text)
    site.put(2)
    site.ask_for("all {}")
    request = predict_request(version=1, history=[["a"]] * 3)
    options = {"enable_batching": True}
    with running(site, **options, enable_per_model_batching_parameters=True) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "AVAILABLE"})
        with pytest.raises(grpc.RpcError) as raised:
            client.prediction.Predict(request, timeout=20)
        assert "3 rows are more than max_batch_size, 2" in (raised.value.details() or "")
        client.prediction.Predict(predict_request(version=2, history=[["a"]] * 3), timeout=20)
    with running(site, **options) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "AVAILABLE"})
        client.prediction.Predict(request, timeout=20)


def test_a_models_own_parameters_that_are_wrong_are_in_its_status(site):
    (site.put(1) / "batching_params.pbtxt").write_text("max_batch_size { value: 0 }")
    site.ask_for_versions(1)
    options = {"enable_batching": True, "enable_per_model_batching_parameters": True}
    with running(site, **options) as client:
        client.wait_for(lambda: client.states() == {1: "END"})
        assert "max_batch_size is 0; give 1 or more" in error_of(client, 1)
        assert "batching_params.pbtxt" in error_of(client, 1)


def test_a_large_request_is_split_and_padded_and_answered_as_one(site, tmp_path):
    site.put(1)
    site.ask_for_versions(1)
    file = tmp_path / "batching.txt"
    file.write_text("max_batch_size { value: 4 } allowed_batch_sizes: [2, 4]")
    options = {"enable_batching": True, "batching_parameters_file": str(file)}
    with running(site, **options) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        history = [[str(i)] for i in range(11)]
        status, answer = client.rest("/v1/models/m:predict", {"inputs": history})
        assert status == 200
        assert answer["outputs"]["item"] == [[str(i), "v1"] for i in range(11)]


@pytest.mark.parametrize(
    ("flag", "text", "said"),
    [
        ("batching_parameters_file", "max_batch_size { value: -1 }", "max_batch_size is -1"),
        ("ssl_config_file", "server_key: ''", "server_key is empty"),
        ("monitoring_config_file", "prometheus { enable: true }", 'no field named "prometheus"'),
        ("tensorflow_session_config_file", "intra: 1", "is no ConfigProto: 1:1"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_is_named(site, tmp_path, flag, text, said):
    site.ask_for_versions(1)
    file = tmp_path / "file.txt"
    file.write_text(text)
    options = {"model_config_file": str(site.config), "port": ANY, "rest_api_port": ANY}
    options["enable_batching"] = True
    with pytest.raises(ServerError, match=said) as raised:
        main(ServerOptions(**options, **{flag: str(file)}))
    assert f"{flag} {file}" in str(raised.value)


def test_the_path_of_the_metrics(tmp_path):
    file = tmp_path / "monitoring.txt"
    assert monitoring.read("") is None
    for text, path in [
        ("", None),
        ("prometheus_config { enable: false path: '/m' }", None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ("prometheus_config: { enable: true, path: '/m' }", "/m"),
    ]:
        file.write_text(text)
        assert monitoring.read(file) == path
    for path in ("m", "/v1/models/m"):
        file.write_text(f"prometheus_config {{ enable: true path: '{path}' }}")
        with pytest.raises(ServerError, match="begins with / and not with /v1/"):
            monitoring.read(file)


def test_tensorflows_threads(tmp_path, library):
    file = tmp_path / "session.txt"
    file.write_text("intra_op_parallelism_threads: 7 allow_soft_placement: true")

    def config(**flags):
        return session.of(ServerOptions("models.config", **flags))

    found = config(tensorflow_session_config_file=str(file), tensorflow_inter_op_parallelism=3)
    assert (found.intra_op_parallelism_threads, found.inter_op_parallelism_threads) == (7, 3)
    assert found.allow_soft_placement
    found = config(tensorflow_session_parallelism=2)
    assert (found.intra_op_parallelism_threads, found.inter_op_parallelism_threads) == (2, 2)
    assert config() == config_pb2.ConfigProto()
    model = servable.load(library[1], found)
    assert model.session._config.intra_op_parallelism_threads == 2
    model.close()
