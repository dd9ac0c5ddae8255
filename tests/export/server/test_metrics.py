"""The page of metrics, read by Prometheus's own parser."""

import time
import urllib.error
import urllib.request

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from podway.export.server import metrics
from podway.export.server.metrics import Metrics
from podway.export.server.net.monitoring import PATH
from tests.export.server.conftest import Site, predict_request, running
from tests.export.server.example_model import CLASSIFY, REGRESS, example, given, served
from tests.export.server.runtime.test_classify_regress import ask, multi


def samples(text):
    """(name, labels) → value. This parser adds a _total to the name of a counter."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found, name, **labels):
    key = tuple(sorted(labels.items()))
    return found.get((name, key)) or found.get((f"{name}_total", key), 0)


def test_a_histogram_counts_up_to_each_limit():
    one = Metrics()
    one.took("m", "Predict", "GRPC", 5e-6)
    one.took("m", "Predict", "GRPC", 15e-6)
    one.took("m", "Predict", "GRPC", 1e9)
    one.took("m", "predict", "REST", 1e-6)
    found = samples(one.page())
    name, labels = (
        ":tensorflow:serving:request_latency",
        {"model_name": "m", "API": "Predict", "entrypoint": "GRPC"},
    )
    limits = [k for k in found if k[0] == f"{name}_bucket" and ("API", "Predict") in k[1]]
    assert len(limits) == 34  # 10 µs, ×1.8 for each of the 33, and without a limit
    for limit, count in (("10", 1), ("18", 2), ("32.4", 2), ("1.47476e+09", 2), ("+Inf", 3)):
        assert value(found, f"{name}_bucket", le=limit, **labels) == count, limit
    assert value(found, f"{name}_count", **labels) == 3
    assert value(found, f"{name}_sum", **labels) == pytest.approx(1e15)


def test_labels_are_escaped():
    one = Metrics()
    one.answered('a"b\\c\nd', "OK")
    assert ':request_count{model_name="a\\"b\\\\c\\nd",status="OK"} 1\n' in one.page()
    found = samples(one.page())
    assert value(found, ":tensorflow:serving:request_count", model_name='a"b\\c\nd', status="OK")


def test_each_metric_says_its_type_once():
    lines = Metrics().page().splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert "# TYPE :tensorflow:serving:runtime_latency histogram" in lines
    assert "# TYPE :tensorflow:cc:saved_model:load_latency counter" in lines
    assert len(lines) == len(set(lines)) == len(metrics.KINDS)


@pytest.fixture
def monitoring(tmp_path):
    """A monitoring config file that has the metrics at another path than the usual one."""
    path = tmp_path / "monitoring.config"
    path.write_text('prometheus_config { enable: true path: "/metrics" }')
    return str(path)


def page(client, path="/metrics"):
    url = f"http://127.0.0.1:{client.rest_port}{path}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return samples(answer.read().decode())


def test_requests_are_counted_and_timed(tmp_path, monitoring):
    with served(tmp_path, monitoring_config_file=monitoring) as client:
        before = page(client)
        for _ in range(3):
            ask(client, given(example(x=[1.0, 2.0])))
        ask(client, given(example(x=[1.0, 2.0])), "regress", kind="Regress")
        client.prediction.Predict(predict_request(signature="predict", x=[1.0]))
        with pytest.raises(grpc.RpcError):
            ask(client, given())
        for name in ("x", "y"):
            with pytest.raises(grpc.RpcError):
                ask(client, given(example(x=[1.0, 2.0])), model=name)
        assert client.rest("/v1/models/z:predict", {})[0] == 404
        tasks = ("m", "regress", REGRESS), ("m", "", CLASSIFY)
        client.prediction.MultiInference(multi(*tasks))  # of two examples; it isn't counted
        body = {"signature_name": "predict", "instances": [1.0]}
        assert client.rest("/v1/models/m:predict", body)[0] == 200
        assert client.rest("/v1/models/m:predict", {})[0] == 400
        found = page(client)

    def rise(name, **labels):
        name = f":tensorflow:serving:{name}"
        return value(found, name, **labels) - value(before, name, **labels)

    assert rise("request_count", model_name="m", status="OK") == 6
    assert rise("request_count", model_name="m", status="INVALID_ARGUMENT") == 2
    assert rise("request_count", model_name="unknown", status="NOT_FOUND") == 3
    counted = {dict(labels).get("model_name") for name, labels in found if "request_count" in name}
    assert counted == {"m", "unknown"}
    timed = {"model_name": "m", "entrypoint": "GRPC"}
    assert rise("request_latency_count", API="Classify", **timed) == 3
    assert rise("request_latency_count", API="Regress", **timed) == 1
    assert rise("request_latency_count", API="Predict", **timed) == 1
    rest = {"model_name": "m", "API": "predict", "entrypoint": "REST"}
    assert rise("request_latency_count", **rest) == 1
    assert 1 < rise("request_latency_sum", **rest) < 20e6  # microseconds
    assert rise("runtime_latency_count", model_name="m", API="Classify", runtime="TF1") == 3
    assert rise("runtime_latency_count", model_name="m", API="Predict", runtime="TF1") == 2
    assert rise("request_example_count_total", model="m") == 2
    assert rise("request_example_counts_bucket", model="m", le="2") == 0
    assert rise("request_example_counts_bucket", model="m", le="4") == 1
    pool = {"thread_pool_name": "model_server_batch_threads"}
    assert rise("batching_session:queuing_latency_count", **pool) == 8


def test_loads_and_warm_ups_are_counted(site: Site, monitoring):
    site.put(1, predict_request(history=[["a"]]))
    (site.put(2) / "saved_model.pb").write_bytes(b"damaged")
    site.ask_for_versions(1, 2)
    with running(site, monitoring_config_file=monitoring) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "END"})
        found = page(client)
    good, bad = (str(site.root / "m" / version) for version in "12")
    loads = ":tensorflow:cc:saved_model:load_attempt_count"
    assert value(found, loads, model_path=good, status="success") == 1
    assert value(found, loads, model_path=bad, status="fail") == 1
    assert value(found, ":tensorflow:cc:saved_model:load_latency", model_path=good) > 100
    warm = {"model_path": good, "status": "OK"}
    assert value(found, ":tensorflow:serving:model_warmup_latency_count", **warm) == 1
    assert value(found, ":tensorflow:serving:model_warmup_records_read", **warm) == 1


def test_without_a_monitoring_config_there_is_no_page(tmp_path):
    with served(tmp_path) as client, pytest.raises(urllib.error.HTTPError, match="404"):
        page(client, PATH)


def test_a_request_whose_time_is_over_is_counted_so(site: Site, monitoring):
    site.put(1)
    site.ask_for_versions(1)
    slow = {"signature_name": "slow", "inputs": {"turns": 2000}}
    options = {"monitoring_config_file": monitoring, "rest_api_timeout_in_ms": 100}
    labels = {"model_name": "m", "status": "DEADLINE_EXCEEDED"}
    with running(site, **options) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        with pytest.raises(grpc.RpcError):
            client.prediction.Predict(predict_request(signature="slow", turns=2000), timeout=0.1)
        assert client.rest("/v1/models/m:predict", slow)[0] == 504
        counted = ":tensorflow:serving:request_count"
        client.wait_for(lambda: value(page(client), counted, **labels) == 2)
        call = client.prediction.Predict.future(predict_request(signature="slow", turns=2000))
        time.sleep(0.1)
        call.cancel()
        labels["status"] = "CANCELLED"
        client.wait_for(lambda: value(page(client), counted, **labels) == 1)
