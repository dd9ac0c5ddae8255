"""A real MLflow server that is killed and comes back while a run is told to it over HTTP.

PODWAY_MLFLOW names the command `mlflow` of an environment that has all of MLflow, which has no
place in ours: python -m venv mlflow && mlflow/bin/pip install 'mlflow>=3.17,<3.18'
"""

import os
import pathlib
import shutil
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from podway.launch import cli
from podway.launch.tracking.address import Address
from tests.cluster.control_plane import free_ports
from tests.launch.follower.test_command import config, done, train, until  # noqa: F401
from tests.launch.gate.test_gate import gated  # noqa: F401

pytest.importorskip("mlflow", reason="mlflow is missing: pip install 'podway[tracking]'")

from tests.launch.tracking.tracked import client, points, runs

MLFLOW = os.environ.get("PODWAY_MLFLOW", "")
pytestmark = [
    pytest.mark.extensive,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not MLFLOW, reason="PODWAY_MLFLOW names no command `mlflow`"),
]


class Server:
    """MLflow's server, on a port and a SQLite file of its own."""

    def __init__(self, folder: pathlib.Path):
        (self._port,) = free_ports(1)
        self._folder = folder
        self.address = Address(f"http://127.0.0.1:{self._port}")

    def start(self) -> None:
        store = f"sqlite:///{self._folder}/mlflow.db"
        command = [MLFLOW, "server", "--backend-store-uri", store, "--port", str(self._port)]
        command += ["--workers", "1", "--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, start_new_session=True
            )
        until(self._answers, 300)

    def kill(self) -> None:
        """Takes it away, with its workers, without a word."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "server.log").read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"{self.address.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


@pytest.fixture
def server(tables, tmp_path) -> Iterator[Server]:
    shutil.copy(tables, tmp_path / "mlflow.db")
    found = Server(tmp_path)
    found.start()
    yield found
    found.kill()


def test_a_server_that_is_killed_costs_a_warning_and_no_step(config, server, tmp_path):  # noqa: F811
    workdir, steps = tmp_path / "w", 100_000
    process = train(config, workdir, server.address.uri, "--trainer.steps", str(steps))
    said: list[str] = []
    assert process.stderr
    reader = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)  # type: ignore[arg-type]
    reader.start()

    def told() -> int:
        found = list(runs(server.address).values())
        steps = [step for step, _ in points(server.address, found[0], "loss")] if found else []
        return max(steps, default=0)

    def spoken(text: str) -> bool:
        assert process.poll() is None, said
        return any(text in line for line in said)

    until(lambda: told() > 0)
    server.kill()
    before = done(workdir)
    until(lambda: spoken("does not take what it is told"))
    until(lambda: done(workdir) > before + 200)  # it trains on
    away = done(workdir)
    server.start()
    until(lambda: spoken("answers again; what it had missed is told"))
    until(lambda: told() > away)
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    reader.join(10)
    (run,) = runs(server.address).values()
    last = done(workdir)
    assert [step for step, _ in points(server.address, run, "loss")] == list(range(5, last + 1, 5))
    until(lambda: next(iter(runs(server.address).values())).info.status == "KILLED", 120)


def test_train_evaluation_model_gate_and_registry_over_http(gated, server, capsys):  # noqa: F811
    cli.main(["gate", "shop", "2", "--workdir", str(gated)])
    for kind in ("track", "registry rebuild"):
        of = [str(gated)] if kind == "track" else ["--workdir", str(gated)]
        cli.main([*kind.split(), *of, "--uri", server.address.uri])
    kinds = sorted(key.partition("/")[0] for key in runs(server.address))
    assert set(kinds) == {"run", "evaluation", "model", "gate"}
    aliases = client(server.address).get_registered_model("shop").aliases
    assert {name: int(at) for name, at in aliases.items()} == {"champion": 1, "challenger": 2}
    assert f"in {server.address.uri}" in capsys.readouterr().out
