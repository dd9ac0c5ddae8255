"""In place of a cluster's kubelets: runs the command of each bound pod as a process here."""

import contextlib
import dataclasses
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

from tests.cluster import container, logs, nodes, volumes
from tests.cluster.client import Client
from tests.cluster.container import Pod
from tests.cluster.control_plane import ControlPlane, free_ports
from tests.cluster.nodes import Pool

ROOT = pathlib.Path(__file__).parents[2]
PERIOD = 0.1
"""Seconds between two looks at the pods."""


@dataclasses.dataclass
class _Running:
    """A pod's process.

    Attributes:
      process: of its container.
      log: what copies what it writes to its file.
      killed_at: when it is killed if it still runs (s, monotonic clock); None: nobody asked it to
        end.
    """

    process: subprocess.Popen[bytes]
    log: threading.Thread
    killed_at: float | None = None


class Kubelet:
    """One for all nodes.

    Args:
      client: of the API server.
      folder: for logs and volumes.
      certificates: folder of tls.crt and tls.key, for its server of logs.

    Attributes:
      absent: images that no registry has.
      problems: errors of its own.
    """

    def __init__(self, client: Client, folder: pathlib.Path, certificates: pathlib.Path):
        self.client, self._folder, self._certificates = client, folder, certificates
        self._environment = dict(os.environ)
        self._serving = contextlib.ExitStack()
        self._port_of_logs = 0
        self._running: dict[str, _Running] = {}
        self._ended: set[str] = set()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._ports: dict[tuple[str, str, int], int] = {}
        self.absent: set[str] = set()
        self.problems: list[str] = []
        self._write_podway()

    def start(self) -> None:
        """From now on pods run."""
        keys = (self._certificates / "tls.crt", self._certificates / "tls.key")
        self._port_of_logs = self._serving.enter_context(logs.serving(*keys, self._log))
        self._thread.start()

    def add(self, pool: Pool) -> None:
        """Adds the machines of a node pool, whose pods run from now on."""
        nodes.add(self.client, pool, self._port_of_logs)

    def stop(self) -> None:
        """Kills what runs."""
        self._over.set()
        self._thread.join()
        self._serving.close()
        for each in self._running.values():
            _kill(each.process)

    def claim(self, name: str, space: str = "default") -> pathlib.Path:
        """The folder of a PersistentVolumeClaim, made if need be, which all pods share."""
        volumes.make_claim(self.client, space, name)
        path = self._folder / "claims" / space / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def commands(self) -> pathlib.Path:
        """The folder of scripts that are the images' commands; a test may write its own."""
        return self._folder / "bin"

    def logs(self) -> dict[str, str]:
        """What each pod wrote that ever ran, by pod."""
        files = sorted((self._folder / "pods").glob("*/log"), key=lambda it: it.stat().st_ctime)
        return {
            file.parent.name: "\n".join(logs.lines(file, timed=False, since=None, tail=None))
            for file in files
        }

    def take(self, pool: str, warned: float = 0.0) -> list[str]:
        """Takes a pool's machines away, as a preemption does; returns the pods that were there.

        Args:
          pool: name of the node pool, which is gone afterwards.
          warned: seconds between SIGTERM and the end.
        """
        with self._lock:
            names = {
                node["metadata"]["name"]
                for node in self.client.items(f"/api/v1/nodes?labelSelector={nodes.POOL}%3D{pool}")
            }
            lost = [
                pod
                for pod in self._pods()
                if pod["spec"].get("nodeName") in names and pod["metadata"]["uid"] in self._running
            ]
            running = [self._running[pod["metadata"]["uid"]].process for pod in lost]
            if warned:
                for process in running:
                    process.terminate()
                deadline = time.monotonic() + warned
                for process in running:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(max(deadline - time.monotonic(), 0))
            for process in running:
                _kill(process)
            for pod in lost:
                self._finish(pod, disrupted=True)
            nodes.remove(self.client, pool)
        return [pod["metadata"]["name"] for pod in lost]

    def _loop(self) -> None:
        while not self._over.wait(PERIOD):
            try:
                with self._lock:
                    for pod in self._pods():
                        self._look_at(pod)
            except Exception:
                self.problems.append(traceback.format_exc())

    def _pods(self) -> list[Pod]:
        return self.client.items("/api/v1/pods")

    def _look_at(self, pod: Pod) -> None:
        uid = pod["metadata"]["uid"]
        running = self._running.get(uid)
        if pod["metadata"].get("deletionTimestamp"):
            self._end(pod, running)
        elif running:
            if running.process.poll() is not None:
                self._finish(pod)
        elif pod["spec"].get("nodeName") and uid not in self._ended:
            self._start(pod)

    def _start(self, pod: Pod) -> None:
        (image,) = (each["image"] for each in pod["spec"]["containers"])
        if image in self.absent:
            if pod["status"].get("containerStatuses") is None:
                why = {"reason": "ErrImagePull", "message": f"{image}: not found"}
                self._say(pod, "Pending", {"waiting": why})
            return
        uid, folder = pod["metadata"]["uid"], self._folder / "pods" / pod["metadata"]["name"]
        folder.mkdir(parents=True, exist_ok=True)
        labels = pod["metadata"].get("labels", {})
        attempt = f"{labels.get('jobset.sigs.k8s.io/jobset-uid')}/" + labels.get(
            "jobset.sigs.k8s.io/restart-attempt", "0"
        )
        names = container.Names(attempt, self._port)
        wanted = container.process(pod, self._hosts(pod), names, self._volumes(pod, folder))
        process = subprocess.Popen(
            wanted.command,
            env=self._environment | dict(wanted.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
        self._running[uid] = _Running(process, logs.keep(process, folder / "log"))
        state = {"running": {"startedAt": _now()}}
        self._say(pod, "Running", state, ready=True)

    def _end(self, pod: Pod, running: _Running | None) -> None:
        """Ends a pod that was deleted, with its grace period."""
        about = pod["metadata"]
        if running:
            if running.process.poll() is None:
                now = time.monotonic()
                if running.killed_at is None:
                    running.killed_at = now + about.get("deletionGracePeriodSeconds", 30)
                    running.process.terminate()
                elif now > running.killed_at:
                    _kill(running.process)
                return
            self._finish(pod)
        self.client.delete(_path(pod), gracePeriodSeconds=0)

    def _finish(self, pod: Pod, disrupted: bool = False) -> None:
        """Reports how a process ended."""
        uid = pod["metadata"]["uid"]
        running = self._running.pop(uid)
        self._ended.add(uid)
        code = running.process.wait()
        running.log.join(1)  # whom its children might keep open
        code = 128 - code if code < 0 else code
        reason = "Error" if code else "Completed"
        policy = pod["spec"]["containers"][0].get("terminationMessagePolicy")
        end = {"exitCode": code, "reason": reason, "finishedAt": _now()}
        if code and policy == "FallbackToLogsOnError":
            log = self._folder / "pods" / pod["metadata"]["name"] / "log"
            end["message"] = logs.last_words(log)
        state = {"terminated": end}
        failed = bool(code) or disrupted
        self._say(pod, "Failed" if failed else "Succeeded", state, disrupted=disrupted)

    def _say(
        self,
        pod: Pod,
        phase: str,
        state: dict[str, Any],
        ready: bool = False,
        disrupted: bool = False,
    ) -> None:
        conditions = {each["type"]: each for each in pod["status"].get("conditions", [])}
        for kind in ("Ready", "ContainersReady"):
            # Without the time a pod never counts as available where minReadySeconds is set.
            since = {"lastTransitionTime": _now()}
            conditions[kind] = {"type": kind, "status": str(ready), **since}
        if disrupted:
            conditions["DisruptionTarget"] = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "TerminationByKubelet",
                "message": "the node is shut down",
            }
        (first,) = pod["spec"]["containers"]
        status = {
            "name": first["name"],
            "image": first["image"],
            "imageID": first["image"],
            "ready": ready,
            "started": ready,
            "restartCount": 0,
            "state": state,
        }
        change = {
            "phase": phase,
            "podIP": "127.0.0.1",
            "startTime": pod["status"].get("startTime") or _now(),
            "conditions": list(conditions.values()),
            "containerStatuses": [status],
        }
        code, answer = self.client.request("PATCH", _path(pod) + "/status", {"status": change})
        if code not in (200, 404):
            raise RuntimeError(f"{pod['metadata']['name']}: {answer.get('message')}")

    def _hosts(self, pod: Pod) -> int:
        """Pods of the pod's Job."""
        name = pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name")
        if not name:
            return 1
        space = pod["metadata"]["namespace"]
        job = self.client.get(f"/apis/batch/v1/namespaces/{space}/jobs/{name}") or {"spec": {}}
        return job["spec"].get("completions") or 1

    def _volumes(self, pod: Pod, folder: pathlib.Path) -> dict[str, pathlib.Path]:
        found = {}
        for volume in pod["spec"].get("volumes", []):
            path = folder / "volumes" / volume["name"]
            if "hostPath" in volume:
                path = pathlib.Path(volume["hostPath"]["path"])
            elif "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                path = self.claim(claim, pod["metadata"]["namespace"])
            elif "configMap" in volume:
                space, of = pod["metadata"]["namespace"], volume["configMap"]
                place = f"/api/v1/namespaces/{space}/configmaps/{of['name']}"
                container.write_config_map(path, of, self.client.get(place) or {})
            elif "emptyDir" in volume:
                path.mkdir(parents=True, exist_ok=True)
            else:
                kinds = ", ".join(volume.keys() - {"name"})
                raise container.UnsupportedError(f"a volume of {kinds}")
            found[volume["name"]] = path
        return found

    def _log(self, space: str, pod: str) -> pathlib.Path | None:
        """The file of a pod's log; names are of one namespace in each test."""
        return self._folder / "pods" / pod / "log"

    def _port(self, attempt: str, host: str, port: int) -> int:
        """A port of loopback for one of a host's, the same for all who ask."""
        key = (attempt, host, port)
        if key not in self._ports:
            (self._ports[key],) = free_ports(1)
        return self._ports[key]

    def _write_podway(self) -> None:
        """The commands of this checkout, before any that are installed."""
        commands = {"podway": "podway.launch.cli", "podway-model-server": "podway.export.server"}
        home = self.commands
        home.mkdir(parents=True, exist_ok=True)
        for name, module in commands.items():
            script = home / name
            script.write_text(
                f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(ROOT / 'src'))}\n"
                f'exec {shlex.quote(sys.executable)} -m {module} "$@"\n'
            )
            script.chmod(0o755)
        path = self._environment.get("PATH", os.defpath)
        self._environment["PATH"] = f"{home}{os.pathsep}{path}"


@contextlib.contextmanager
def running(plane: ControlPlane, folder: pathlib.Path) -> Iterator[Kubelet]:
    """A kubelet for the time of a block."""
    kubelet = Kubelet(plane.client, folder, plane.folder / "hooks")
    try:
        kubelet.start()
        yield kubelet
    finally:
        kubelet.stop()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
