"""A cluster's answers as a user reads them; its server on loopback answers as it is told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import cluster
from podway.launch.targets.kubernetes.cluster import Cluster, UnreachableError

JOB_SETS = "/apis/jobset.x-k8s.io/v1alpha2"
OLD = (
    "failed to create typed patch object (lab/x; jobset.x-k8s.io/v1alpha2, Kind=JobSet): errors:\n"
    '  .spec.replicatedJobs[name="train"].dependsOn: field not declared in schema\n'
    '  .spec.replicatedJobs[name="export"].dependsOn: field not declared in schema'
)


class Server(BaseHTTPRequestHandler):
    """Knows JobSets, if it shall, and refuses all that is done to them."""

    answer: ClassVar[tuple[int, str]] = (200, "")
    has_job_sets: ClassVar[bool] = True
    silent: ClassVar[threading.Event]

    def do_GET(self) -> None:
        if self.path.startswith("/version"):
            return self._say(200, {"major": "1", "minor": "35"})
        if self.path == "/apis":
            version = {"groupVersion": JOB_SETS.removeprefix("/apis/"), "version": "v1alpha2"}
            group = {"name": "jobset.x-k8s.io", "versions": [version], "preferredVersion": version}
            return self._say(200, {"groups": [group] if self.has_job_sets else []})
        if self.path == JOB_SETS:
            kind = {"name": "jobsets", "kind": "JobSet", "namespaced": True, "verbs": ["get"]}
            return self._say(200, {"resources": [kind], "groupVersion": "jobset.x-k8s.io/v1alpha2"})
        if self.path in ("/api", "/api/v1"):
            return self._say(200, {"versions": ["v1"], "resources": []})
        if self.answer[0] == 0:
            self.silent.wait(30)
        code, text = self.answer
        return self._say(code or 200, {"message": text, "code": code})

    def _say(self, code: int, body: dict) -> None:
        text = json.dumps({"kind": "Status"} | body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The class of its answers; the kubeconfig names it."""
    made = type("Told", (Server,), {"silent": threading.Event()})
    served = ThreadingHTTPServer(("127.0.0.1", 0), made)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{served.server_address[1]}"
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where the client keeps what it found
    yield made
    made.silent.set()
    served.shutdown()
    served.server_close()


def get() -> None:
    Cluster("lab").get("jobset.x-k8s.io/v1alpha2", "JobSet", "x")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            (400, OLD),
            r"the cluster's JobSet is too old \(failed .*\); install JobSet 0.11 or later",
        ),
        ((401, "Unauthorized"), r"does not know who you are \(Unauthorized\); log in again"),
        ((403, 'jobsets "x" is forbidden'), "you may not do this: .*; an administrator grants it"),
        ((403, "admission webhook denied the request: no"), "refused: admission webhook denied"),
        ((409, "the object has been modified"), "somebody else changed it at the same time"),
        ((422, "spec.x: Invalid value"), "JobSet x: spec.x: Invalid value"),
    ],
)
def test_an_error_is_one_sentence(server, answer, said):
    server.answer = answer
    with pytest.raises(LaunchError, match=said) as error:
        get()
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, UnreachableError)


@pytest.mark.parametrize("code", [500, 504])
def test_a_server_with_troubles_may_answer_later(server, code):
    server.answer = (code, "etcdserver: leader changed")
    with pytest.raises(UnreachableError, match="leader changed"):
        get()


def test_a_server_that_says_nothing_is_not_waited_for(server, monkeypatch):
    server.answer = (0, "")
    monkeypatch.setattr(cluster, "_TIMEOUT", 0.3)
    with pytest.raises(UnreachableError, match="does not answer"):
        get()


def test_a_cluster_without_jobset(server):
    server.has_job_sets = False
    with pytest.raises(LaunchError, match=r"has no JobSet: install JobSet 0\.11 or later"):
        get()
