"""A Kubernetes control plane on loopback: etcd, API server, scheduler, controllers and JobSet.

All real, of one program (kubelite/), each a process with ports and folders of its own. Nodes are
objects alone (nodes.py), and who runs their pods is kubelet.py.
"""

import base64
import contextlib
import json
import pathlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import yaml

from tests.cluster import programs
from tests.cluster.client import Client
from tests.cluster.validation import CRDS

TOKEN = "podway"
"""Of the user who may do all."""
USER = "user"
"""Name and token of one who has no rights but those that a test grants."""
T = TypeVar("T")


class ControlPlaneError(Exception):
    """A part ended, or did not become ready; the message has the end of its log."""


class ControlPlane:
    """The processes, and the client that asks them.

    Attributes:
      client: of the API server.
      folder: of logs, keys and etcd's data.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.client = Client(f"https://127.0.0.1:{self._ports['api']}", TOKEN)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Starts all parts, and waits until a JobSet is taken."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_keys(self.folder)
        _write_kubeconfig(self.folder / "kubeconfig", self.client.server, TOKEN)
        _write_kubeconfig(self.folder / f"kubeconfig-{USER}", self.client.server, USER)
        self.run("kubelite", "etcd", *_etcd(self.folder, self._ports))
        self.run("kubelite", "kube-apiserver", *_api_server(self.folder, self._ports))
        self.wait("the API server", lambda: self._asked("/readyz") == 200)
        for file in CRDS.glob("*.yaml"):
            self.client.made(yaml.safe_load(file.read_text()))
        kubeconfig = str(self.folder / "kubeconfig")
        scheduler = ["--leader-elect=false", "--secure-port=0"]
        self.run("kubelite", "kube-scheduler", f"--kubeconfig={kubeconfig}", *scheduler)
        self.run("kubelite", "controllers", "-kubeconfig", kubeconfig)
        self.wait("JobSet's kind", lambda: self._asked("/apis/jobset.x-k8s.io/v1alpha2") == 200)
        hooks = ["-certs", str(self.hooks), "-port", str(self._ports["hooks"])]
        self.run("kubelite", "jobset", "-kubeconfig", kubeconfig, *hooks)
        for configuration in _webhooks(self._ports["hooks"], self.authority):
            self.client.made(configuration)
        self.wait("JobSet's webhooks", self._hooks_answer)

    def stop(self) -> None:
        """Ends all parts, the last one first."""
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in reversed(self._processes.values()):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait(self, what: str, ready: Callable[[], T], seconds: float = 120) -> T:
        """What `ready` returns once that is true. Raises ControlPlaneError if it never is."""
        deadline = time.monotonic() + seconds
        while not (found := ready()):
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise ControlPlaneError(
                        f"{name} ended with {process.returncode}: {self.log(name)}"
                    )
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"waited {seconds:.0f} s in vain: {what}")
            time.sleep(0.1)
        return found

    def log(self, part: str) -> str:
        """The end of what a part wrote."""
        return (self.folder / f"{part}.log").read_text(errors="replace")[-3000:]

    @property
    def hooks(self) -> pathlib.Path:
        """The folder of tls.crt and tls.key, for servers of webhooks."""
        return self.folder / "hooks"

    @property
    def authority(self) -> str:
        """Of that certificate, as webhooks' configurations name it."""
        return base64.b64encode((self.hooks / "tls.crt").read_bytes()).decode()

    def run(self, program: str, part: str, *arguments: str) -> None:
        """Starts a part: a program with arguments, the first of which kubelite's parts are."""
        words = [part, *arguments] if program == "kubelite" else arguments
        with (self.folder / f"{part}.log").open("wb") as log:
            self._processes[part] = subprocess.Popen(
                [str(programs.build(program)), *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )

    def _asked(self, path: str) -> int:
        """The status of an answer; 0 if there is none."""
        try:
            return self.client.request("GET", path)[0]
        except OSError:
            return 0

    def _hooks_answer(self) -> bool:
        """Whether a JobSet is refused for what is wrong with it, not for the lack of a webhook."""
        probe = {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {"name": "probe"},
            "spec": {"successPolicy": {"operator": "All", "targetReplicatedJobs": ["none"]}},
        }
        _, answer = self.client.create(probe, dry_run=True)
        return "does not appear in .spec.ReplicatedJobs" in answer.get("message", "")


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[ControlPlane]:
    """A control plane for the time of a block."""
    plane = ControlPlane(folder)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has now, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


_PORTS = ("api", "etcd", "peers", "hooks")


def _etcd(folder: pathlib.Path, ports: dict[str, int]) -> list[str]:
    clients, peers = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "peers"))
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
    ]


def _api_server(folder: pathlib.Path, ports: dict[str, int]) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{ports['etcd']}",
        f"--secure-port={ports['api']}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://localhost",
        f"--service-account-key-file={folder / 'accounts.pub'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        # Would wait for tokens that no controller makes here.
        "--disable-admission-plugins=ServiceAccount",
        # What GKE's control plane has: the toleration of a taint named like the resource.
        "--enable-admission-plugins=ExtendedResourceToleration",
        "--enable-priority-and-fairness=false",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _write_keys(folder: pathlib.Path) -> None:
    hooks = folder / "hooks"
    hooks.mkdir(exist_ok=True)
    _openssl("genrsa", "-out", folder / "accounts.key", "2048")
    _openssl("rsa", "-in", folder / "accounts.key", "-pubout", "-out", folder / "accounts.pub")
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", hooks / "tls.key", "-out", hooks / "tls.crt"),
    )
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n{USER},{USER},2\n")


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _write_kubeconfig(file: pathlib.Path, server: str, token: str) -> None:
    cluster = {"server": server, "insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "somebody"}}],
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "somebody", "user": {"token": token}}],
    }
    file.write_text(json.dumps(config))


def _webhooks(port: int, authority: str) -> list[dict[str, Any]]:
    """JobSet's, as its config/components/webhook has them, but reached by address."""
    sets = (["jobset.x-k8s.io"], ["v1alpha2"], ["jobsets"], ["CREATE", "UPDATE"])
    pods = ([""], ["v1"], ["pods"], ["CREATE"])

    def hook(name: str, path: str, of: tuple[list[str], ...], **more: Any) -> dict[str, Any]:
        groups, versions, resources, operations = of
        rule = {"apiGroups": groups, "apiVersions": versions, "resources": resources}
        url = f"https://127.0.0.1:{port}{path}"
        return {
            "name": f"{name}.kb.io",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": url, "caBundle": authority},
            "failurePolicy": "Fail",
            "rules": [rule | {"operations": operations}],
            "sideEffects": "None",
            "timeoutSeconds": 10,
        } | more

    labelled = {"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}
    of_sets = {"objectSelector": {"matchExpressions": [labelled]}}
    kinds = {
        "MutatingWebhookConfiguration": [
            hook("mjobset", "/mutate-jobset-x-k8s-io-v1alpha2-jobset", sets),
            hook("mpod", "/mutate--v1-pod", pods, **of_sets),
        ],
        "ValidatingWebhookConfiguration": [
            hook("vjobset", "/validate-jobset-x-k8s-io-v1alpha2-jobset", sets),
            hook("vpod", "/validate--v1-pod", pods, **of_sets),
        ],
    }
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "jobset"},
            "webhooks": hooks,
        }
        for kind, hooks in kinds.items()
    ]
