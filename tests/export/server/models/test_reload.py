"""ModelService.HandleReloadConfigRequest: what a client asks for, beside the config file."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import dataclasses
import time

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2

from tests.export.server.conftest import predict_request, running


def request(text, metrics=()):
    result = model_management_pb2.ReloadConfigRequest(metric_names=metrics)
    text_format.Parse(text, result.config)
    return result


def model(site, name="m", policy="latest {}", more=""):
    return (
        f'config {{ name: "{name}" base_path: "{site.root}/m" model_platform: "tensorflow"'
        f" model_version_policy {{ {policy} }} {more} }}"
    )


def models(*entries):
    return request(f"model_config_list {{ {' '.join(entries)} }}")


def fails(call, code, said):
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert raised.value.code() == code
    assert said in raised.value.details()


def item(client, name="m", version=None):
    answer = client.prediction.Predict(
        predict_request(model=name, version=version, history=[["a"]])
    )
    return answer.outputs["item"].string_val[1].decode()


@pytest.fixture
def server(site):
    """Its client comes over the Unix socket, where a config may be replaced."""
    site.put(1)
    site.put(2)
    site.ask_for_versions(1)
    path = str(site.root / "grpc")
    with (
        running(site, enable_model_management=True, grpc_socket_path=path) as client,
        grpc.insecure_channel(f"unix:{path}") as channel,
    ):
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        yield dataclasses.replace(client, channel=channel)


def reload(client, wanted):
    return client.model.HandleReloadConfigRequest(wanted, timeout=60)


def test_a_model_is_available_when_the_answer_comes(site, server):
    response = reload(server, models(model(site), model(site, "n", "all {}")))
    assert response.HasField("status")
    assert (response.status.error_code, response.status.error_message) == (0, "")
    assert item(server) == "v2"
    assert item(server, "n", 1) == "v1"


def test_the_config_file_stays_behind_until_it_changes(site, server):
    reload(server, models(model(site, "n")))
    time.sleep(0.3)  # several looks at the file
    assert item(server, "n") == "v2"
    server.wait_for(lambda: server.states() == {1: "END"})
    site.put(3)  # a new version is found under the client's config, too
    server.wait_for(lambda: item(server, "n") == "v3")
    site.ask_for_versions(2)
    server.wait_for(lambda: server.states() == {1: "END", 2: "AVAILABLE"})
    server.wait_for(lambda: server.rest("/v1/models/n:predict", {"inputs": [["a"]]})[0] == 404)


def test_a_config_that_cannot_be_used_changes_nothing(site, server):
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    for wanted, said in [
        (request(""), "Only ModelConfigList is currently supported"),
        (request("custom_model_config {}"), "Only ModelConfigList is currently supported"),
        (models(model(site), model(site)), "Illegal to list model m multiple times in config list"),
        (models(model(site).replace(f"{site.root}/m", "m")), "absolute path"),
        (models(model(site).replace("tensorflow", "pytorch")), "pytorch"),
    ]:
        fails(lambda wanted=wanted: reload(server, wanted), invalid, said)
    assert server.states() == {1: "AVAILABLE"}


def test_a_label_needs_a_version_that_serves(site, server):
    labelled = model(site, policy="all {}", more='version_labels { key: "next" value: 2 }')
    failed = grpc.StatusCode.FAILED_PRECONDITION
    said = "assign label to version 2 of model m, which is not currently available"
    fails(lambda: reload(server, models(labelled)), failed, said)
    assert server.states() == {1: "AVAILABLE"}
    reload(server, models(model(site, policy="all {}")))
    reload(server, models(labelled))
    assert server.rest("/v1/models/m/labels/next:predict", {"inputs": [["a"]]})[0] == 200


def test_a_version_that_does_not_load_is_said_and_takes_nothing_away(site, server):
    (site.put(3) / "saved_model.pb").write_bytes(b"damaged")
    said = r"1 model(s) did not become available: {{{name: m version: 3} due to error: "
    fails(lambda: reload(server, models(model(site))), grpc.StatusCode.UNKNOWN, said)
    assert server.states() == {1: "AVAILABLE", 3: "END"}
    assert item(server) == "v1"


def test_a_model_without_a_version_is_said(site, server):
    gone = model(site, "n").replace(f"{site.root}/m", f"{site.root}/none")
    said = "{{name: n} due to error: no version in its base_path}"
    fails(lambda: reload(server, models(model(site), gone)), grpc.StatusCode.UNKNOWN, said)
    assert item(server) == "v2"


def test_the_answer_says_by_how_much_metrics_rose(site, server):
    wanted = models(model(site))
    wanted.metric_names.extend(["/tensorflow/cc/saved_model/load_attempt_count", "/none"])
    response = reload(server, wanted)
    found = {metric.name: metric.int64_value_increase for metric in response.metric}
    assert found == dict.fromkeys(wanted.metric_names, 0)  # the first cell is version 1's


def test_a_version_that_is_still_unloading_comes_back(site, server):
    warm = predict_request(signature="slow", turns=1)
    server.prediction.Predict(warm)
    held = server.prediction.Predict.future(predict_request(signature="slow", turns=1000))
    time.sleep(0.1)
    reload(server, models(model(site, policy="specific { versions: 2 }")))
    assert server.states() == {1: "UNLOADING", 2: "AVAILABLE"}
    reload(server, models(model(site, policy="specific { versions: 1 }")))
    assert held.done()
    assert held.result().outputs["turns"].int_val[0] == 1000
    assert item(server) == "v1"
    server.wait_for(lambda: server.states() == {1: "AVAILABLE", 2: "END"})


def test_the_config_file_brings_back_a_version_that_is_still_unloading(site, server):
    server.prediction.Predict(predict_request(signature="slow", turns=1))
    held = server.prediction.Predict.future(predict_request(signature="slow", turns=1000))
    time.sleep(0.1)
    site.ask_for_versions(2)
    server.wait_for(lambda: server.states() == {1: "UNLOADING", 2: "AVAILABLE"})
    site.ask_for_versions(1)
    time.sleep(0.2)
    assert not held.done()
    server.wait_for(lambda: server.states() == {1: "AVAILABLE", 2: "END"})
    assert held.result().outputs["turns"].int_val[0] == 1000
