"""Real brokers on private ports and folders, which are killed and started again.

Skipped by name where one is missing; where CI is set, that is a failure.
"""

import base64
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.online.emulators import programs
from tests.online.queue import kafka_jars

PATIENCE = 180.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def missing(what: str, how: str, *, excused: str = "") -> None:
    """Skips the test, unless CI should have what it needs."""
    said = f"no {what}: {how}"
    if "CI" in os.environ and not (excused and os.environ.get(excused)):
        pytest.fail(said)
    pytest.skip(said)


class Server:
    """A program of a process group of its own, with what it has on disk."""

    def __init__(
        self,
        folder: pathlib.Path,
        command: list[str],
        ready: Callable[[], bool],
        environment: dict[str, str] | None = None,
        behind: list[str] | None = None,
    ):
        """`behind` is a command that ends what it leaves behind."""
        self._behind = behind
        self._folder, self._command, self._ready = folder, command, ready
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts it, and waits until it is ready."""
        log = self._folder / "log"
        with log.open("a") as file:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE
        while not self._ready():
            text = log.read_text(errors="replace")
            assert self._process.poll() is None, text[-3000:]
            assert time.monotonic() < end, text[-3000:]
            time.sleep(0.2)

    def kill(self) -> None:
        """kill -9 of it and its children."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None
            for _ in range(20 if self._behind else 0):  # it refuses until it has noticed the end
                done = subprocess.run(self._behind or [], capture_output=True, text=True)
                if "not allowed" not in done.stdout + done.stderr:
                    break
                time.sleep(0.1)


def listens(port: int) -> bool:
    """Whether something does."""
    with socket.socket() as asks:
        asks.settimeout(1)
        return asks.connect_ex(("127.0.0.1", port)) == 0


def kafka(folder: pathlib.Path) -> tuple[Server, str]:
    """A broker, not started, and its address."""
    if os.environ.get(kafka_jars.WITHOUT):
        missing("Kafka", "its jars could not be fetched", excused=kafka_jars.WITHOUT)
    jars = kafka_jars.place()
    if not jars.is_dir():
        missing("Kafka", "`make kafka` fetches its jars")
    if shutil.which("java") is None:
        missing("java", "apt-get install --no-install-recommends openjdk-17-jre-headless")
    port, controller = free_ports(2)
    address = f"127.0.0.1:{port}"
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://{address}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(folder / "data"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
    }
    properties = folder / "server.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    java += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
    identity = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
    subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", identity, "-c", str(properties)],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    command = [*java, "kafka.Kafka", str(properties)]
    return Server(folder, command, lambda: listens(port)), address


def emulator(name: str) -> str:
    """The program of an emulator that is built of Go modules."""
    if os.environ.get(programs.WITHOUT):
        missing(name, "its Go modules could not be fetched", excused=programs.WITHOUT)
    program = programs.place(name)
    if not program.exists():
        missing(name, "`make emulators` builds it")
    return str(program)


def pubsub(folder: pathlib.Path) -> tuple[Server, str]:
    """Google's double, not started, and its address."""
    (port,) = free_ports(1)
    command = [emulator("pubsub"), "-port", str(port)]
    return Server(folder, command, lambda: listens(port)), f"127.0.0.1:{port}"


def google_pubsub(folder: pathlib.Path) -> tuple[Server, str]:
    """Google's larger emulator, not started, and its address."""
    where = "google-cloud-sdk/platform/pubsub-emulator/bin/cloud-pubsub-emulator"
    found = [root / where for root in map(pathlib.Path, ("/usr/lib", "/opt", "/usr/local"))]
    there = [path for path in found if path.exists()]
    if not there:
        # It comes with Google's own packages: from none of Debian, Maven, PyPI and Go.
        pytest.skip("no Pub/Sub emulator: gcloud components install pubsub-emulator")
    (port,) = free_ports(1)
    (folder / "data").mkdir()
    command = [str(there[0]), "--host=127.0.0.1", f"--port={port}"]
    command.append(f"--data-dir={folder / 'data'}")
    return Server(folder, command, lambda: listens(port)), f"127.0.0.1:{port}"


def rabbitmq(folder: pathlib.Path) -> tuple[Server, str]:
    """RabbitMQ as this user, not started, and its address."""
    program = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not program.exists():
        missing("RabbitMQ", "apt-get install --no-install-recommends rabbitmq-server")
    port, distribution, mapper = free_ports(3)
    (folder / "home").mkdir()
    (folder / "plugins").write_text("[].\n")
    environment = {
        "HOME": str(folder / "home"),
        "RABBITMQ_NODENAME": f"podway{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
    }
    (folder / "rabbitmq.conf").write_text("")
    # Erlang's daemon of names is of no process group.
    behind = ["epmd", "-port", str(mapper), "-kill"]
    server = Server(folder, [str(program)], lambda: listens(port), environment, behind)
    return server, f"amqp://guest:guest@127.0.0.1:{port}/"
