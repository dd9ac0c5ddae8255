"""A run's folder as a trainer leaves it at any moment, and what MLflow has of it."""

import dataclasses
import json
import os
import pathlib
from typing import Any

import mlflow
from etils import epath

from podway.framework import codec
from podway.framework.runs import lock, records
from podway.framework.runs.telemetry import Records
from podway.launch.tracking.address import Address
from tests.framework.experiments import walks


class Training:
    """A run that is trained by hand: with the files, and the lock, of a real one."""

    def __init__(self, workdir: pathlib.Path, version: str = "0123456789ab-01234567", **trainer):
        self.experiment = walks(**trainer)
        self.directory = epath.Path(workdir / "runs" / "walks" / version)
        self.directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(codec.to_json(self.experiment))
        (self.directory / "experiment.json").write_text(text)
        self._lock = lock.hold(self.directory)

    def begin(self, done: int = 0) -> None:
        """Takes the lock; records after step `done` are dropped, as a session that resumes does."""
        self._lock = lock.hold(self.directory)
        self._lock.__enter__()
        records.begin(self.directory, inputs={"dataset": "d-1"}, selection="ndcg@5")
        earlier = records.read(self.directory / records.METRICS)
        kept = [each for each in earlier if each["step"] <= done]
        self._records = Records(self.directory / records.METRICS, kept)

    def steps(self, first: int, last: int) -> None:
        for step in range(first, last + 1):
            self._records.add({"step": step, "loss": 1 / step, "validation/ndcg@5": 0.1 * step})

    def leave(self, problem: str | None = "") -> None:
        """Gives the lock back; None: without a word, as after SIGKILL."""
        if problem is not None:
            records.end(self.directory, problem)
            self._lock.__exit__(None, None, None)

    @property
    def lock(self) -> pathlib.Path:
        return pathlib.Path(self.directory.parent / f"_lock-{self.directory.name}.json")

    def given_to(self, pid: int) -> None:
        """The lock is another process's."""
        holder = dataclasses.replace(lock.Holder.here(), pid=pid)
        self.lock.write_text(holder.text())


def client(address: Address) -> Any:
    return mlflow.MlflowClient(address.uri, address.uri)


def runs(address: Address) -> dict[str, Any]:
    """Its runs by their keys; two of one key are an error."""
    ask = client(address)
    found = ask.search_runs([each.experiment_id for each in ask.search_experiments()])
    keys = [run.data.tags["podway.key"] for run in found]
    assert len(keys) == len(set(keys)), keys
    return dict(zip(keys, found, strict=True))


def points(address: Address, run: Any, name: str) -> list[tuple[int, float]]:
    """Steps and values of a metric, in order; all that were ever logged."""
    found = client(address).get_metric_history(run.info.run_id, name)
    return sorted((each.step, each.value) for each in found)


def rows(address: Address) -> dict[str, int]:
    """How many rows each table has, without a look through MLflow."""
    import sqlite3

    with sqlite3.connect(address.uri.removeprefix("sqlite:///")) as base:
        names = ("runs", "metrics", "params", "tags", "inputs", "datasets", "model_versions")
        return {name: base.execute(f"select count(*) from {name}").fetchone()[0] for name in names}


ME = os.getpid()
