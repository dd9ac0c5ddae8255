"""No request waits for ever, fills the memory, or holds up another model's."""

import contextlib
import http.client
import json
import socket
import threading
import time

import grpc
import pytest

from tests.export.server.conftest import predict_request, running

SLOW = 4000
"""Turns that take seconds; the tests end before them."""


def two_models(site):
    """Models m and n, both version 1."""
    (site.root / "n").mkdir()
    (site.root / "n" / "1").symlink_to(site.put(1))
    configs = " ".join(
        f'config {{ name: "{name}" base_path: "{site.root}/{name}" model_platform: "tensorflow" }}'
        for name in "mn"
    )
    site.config.write_text(f"model_config_list {{ {configs} }}")


def room_for_two(site):
    """Options: one request runs, two wait."""
    file = site.root / "batching.txt"
    file.write_text(
        "max_batch_size { value: 1 }\n"
        "max_enqueued_batches { value: 2 }\n"
        "num_batch_threads { value: 1 }\n"
    )
    return {"enable_batching": True, "batching_parameters_file": str(file)}


@pytest.fixture
def one(site):
    site.put(1, predict_request(history=[["a"]]))
    site.ask_for_versions(1)
    return site


@contextlib.contextmanager
def busy(client, count, turns=SLOW):
    """So many slow requests are in progress or in the queue of model m."""
    request = predict_request(signature="slow", turns=turns)
    calls = [client.prediction.Predict.future(request) for _ in range(count)]
    time.sleep(0.3)
    try:
        yield calls
    finally:
        for call in calls:
            call.cancel()


def test_a_slow_model_does_not_hold_up_another(site):
    two_models(site)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        client.wait_for(lambda: client.rest("/v1/models/n")[0] == 200)
        client.wait_for(lambda: "AVAILABLE" in json.dumps(client.rest("/v1/models/n")[1]))
        with busy(client, 16) as calls:
            for _ in range(5):
                client.prediction.Predict(predict_request("n", history=[["a"]]), timeout=20)
            assert not any(call.done() for call in calls)


def test_requests_whose_deadline_has_passed_leave_the_queue(one):
    slow = predict_request(signature="slow", turns=1)
    with running(one, **room_for_two(one)) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        with busy(client, 1):
            for _ in range(6):  # the queue has room for two
                start = time.monotonic()
                with pytest.raises(grpc.RpcError) as raised:
                    client.prediction.Predict(slow, timeout=0.2)
                assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                assert time.monotonic() - start < 2
                time.sleep(0.1)


def test_rest_answers_504_when_its_time_is_over(one):
    with running(one, rest_api_timeout_in_ms=300) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        body = {"signature_name": "slow", "inputs": {"turns": 1500}}
        start = time.monotonic()
        status, answer = client.rest("/v1/models/m:predict", body)
        assert (status, answer) == (504, {"error": "no answer within 0.3 s"})
        assert time.monotonic() - start < 5
        assert client.rest("/v1/models/m:predict", {"inputs": [["a"]]})[0] == 200


def test_a_body_that_never_comes_is_not_waited_for(one):
    head = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    with (
        running(one, rest_api_timeout_in_ms=300) as client,
        socket.create_connection(("127.0.0.1", client.rest_port), timeout=20) as connection,
    ):
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        connection.sendall(head)
        assert b" 504 " in connection.recv(1000).splitlines()[0]


def test_who_disconnects_leaves_the_queue(one):
    body = json.dumps({"signature_name": "slow", "inputs": {"turns": 1500}})
    with running(one, **room_for_two(one)) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        with busy(client, 1, turns=3000):
            for _ in range(6):  # the queue has room for two
                connection = http.client.HTTPConnection("127.0.0.1", client.rest_port, timeout=20)
                connection.request("POST", "/v1/models/m:predict", body)
                time.sleep(0.1)
                connection.close()
                time.sleep(0.1)
            with pytest.raises(grpc.RpcError) as raised:
                client.prediction.Predict(predict_request(signature="slow", turns=1), timeout=0.2)
            assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # it was let in


def test_a_full_queue_is_said_in_both_protocols(one):
    with running(one, **room_for_two(one)) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        with busy(client, 3):
            with pytest.raises(grpc.RpcError) as raised:
                client.prediction.Predict(predict_request(signature="slow", turns=1), timeout=20)
            assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            body = {"signature_name": "slow", "inputs": {"turns": 1}}
            status, answer = client.rest("/v1/models/m:predict", body)
            assert status == 429
            assert "max_enqueued_batches 2" in answer["error"]
            client.prediction.Predict(predict_request(history=[["a"]]), timeout=20)


def test_requests_and_headers_are_bounded(one):
    with running(one, max_request_bytes=100_000) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        large = [["x" * 200_000]]
        status, answer = client.rest("/v1/models/m:predict", {"inputs": large})
        assert (status, list(answer)) == (413, ["error"])
        with pytest.raises(grpc.RpcError) as raised:
            client.prediction.Predict(predict_request(history=large))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as raised:
            client.prediction.Predict(
                predict_request(history=[["a"]]), metadata=[("k", "v" * 60_000)], timeout=20
            )
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        connection = http.client.HTTPConnection("127.0.0.1", client.rest_port, timeout=20)
        connection.request("GET", "/v1/models/m", headers={"k": "v" * 60_000})
        assert connection.getresponse().status == 431
        connection.close()
        client.prediction.Predict(predict_request(history=[["a"]]), timeout=20)


def test_many_clients_are_served_while_some_give_up(one):
    with running(one) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        errors = []

        def work(index: int) -> None:
            for _ in range(20):
                try:
                    client.prediction.Predict(
                        predict_request(history=[["a"]]), timeout=0.002 if index % 2 else 20
                    )
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED or index % 2 == 0:
                        errors.append(error)

        workers = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert not errors
