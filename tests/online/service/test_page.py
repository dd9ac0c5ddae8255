"""Health and metrics of a service."""

import urllib.error
import urllib.request

import prometheus_client
import pytest
from prometheus_client.registry import CollectorRegistry

from podway.online.error import OnlineError
from podway.online.service.page import READY, page


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_ready_follows_the_service_and_live_does_not():
    registry = CollectorRegistry()
    prometheus_client.Counter("podway_seen", "Seen.", registry=registry).inc(3)
    why = ["the store does not answer"]
    with page("127.0.0.1", 0, registry, lambda: why[0]) as port:
        assert ask(port, "/readyz") == (503, "the store does not answer\n")
        assert ask(port, "/livez") == (200, "ok\n")
        why[0] = READY
        assert ask(port, "/readyz") == (200, "ok\n")
        assert "podway_seen_total 3.0" in ask(port, "/metrics")[1]
        status, said = ask(port, "/elsewhere")
        assert status == 404
        assert "/readyz" in said


def test_a_port_that_is_taken_is_named():
    with (
        page("127.0.0.1", 0, CollectorRegistry(), lambda: READY) as port,
        pytest.raises(OnlineError, match=f"127.0.0.1:{port}"),
        page("127.0.0.1", port, CollectorRegistry(), lambda: READY),
    ):
        pass
