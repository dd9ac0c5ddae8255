"""MLflow: what is told becomes runs of it, once, however often it is told.

The only file of the package that imports MLflow, which takes seconds: for processes of their own.
"""

import contextlib
import itertools
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from etils import epath

from podway.launch.tracking import ids, names
from podway.launch.tracking.address import Address
from podway.launch.tracking.told import Input, Point, Status, Told

os.environ |= {  # before MLflow is imported
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing is sent to its makers
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # what a follower prints is for the user
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # who calls us tries again
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)

import mlflow  # noqa: E402
import sqlalchemy  # noqa: E402
from mlflow import entities, exceptions  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

ERRORS = (exceptions.MlflowException, SQLAlchemyError, OSError)
"""What is raised where a database does not answer, or refuses."""

KEY, PLACE, SESSION = "podway.key", "podway.place", "podway.session"
"""Tags: what it is, where it lies, and who told of it last."""
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Has MLflow's page show what is of models that are trained."""
CONNECT = 10
"""Seconds in which a database must answer."""
_METRICS, _OTHERS = 900, 90
"""Of one request; MLflow takes 1,000 and 100."""


class Database:
    """A tracking database, seen from a workdir.

    Raises what MLflow and SQLAlchemy raise where it cannot be reached, as all methods do.
    """

    def __init__(self, address: Address, workdir: epath.PathLike):
        self.address, self._workdir = address, workdir
        _reach(address.uri)
        with _quiet():
            self.client = mlflow.MlflowClient(address.uri, address.uri)
            self.client.search_experiments(max_results=1)
        self._experiments: dict[str, str] = {}

    def tell(self, told: Told, *, session: str = "") -> str:
        """Writes what is told and not there yet; returns the run's id.

        A `session` becomes the one that says how the run ends (see `end`).
        """
        run = self._run(told)
        known = self.client.get_run(run)
        tags = dict(told.tags) | {
            KEY: told.key,
            PLACE: told.place,
            "podway.kind": told.kind,
            "podway.name": told.name,
            "podway.version": told.version,
            "mlflow.source.name": "podway",
            "mlflow.source.type": "JOB",
            **({SESSION: session} if session else {}),
        }
        if told.of and (parent := self._find(told.of, "")):
            tags["mlflow.parentRunId"] = parent
        tags = {name: text for name, text in tags.items() if known.data.tags.get(name) != text}
        stale = [name for name in ("podway.problem",) if known.data.tags.get(name)]
        there = known.data.params
        missing = {name: text for name, text in told.parameters.items() if name not in there}
        changed = [
            f"{name}: {there[name]} → {text}"
            for name, text in told.parameters.items()
            if name in there and there[name] != text
        ]
        if changed:  # MLflow keeps the first value; what changes no result may change in a run
            tags["podway.changed"] = ", ".join(changed)[: names.TAG]
        for some in _parts(missing.items(), _OTHERS):
            self.client.log_batch(run, params=[entities.Param(*each) for each in some])
        for some in _parts(tags.items(), _OTHERS):
            self.client.log_batch(run, tags=[entities.RunTag(*each) for each in some])
        for name in stale:
            if name not in told.tags:
                self.client.delete_tag(run, name)
        self._inputs(run, told.inputs, known)
        self.log(run, told.curve)
        self._judge(run, told.results)
        self._status(run, told.status, told.ended, known.info.status)
        return run

    def log(self, run: str, curve: Sequence[Point]) -> None:
        """Values over steps, of which those stay that are there: of each metric up to a step."""
        if not curve:
            return
        last = {name: metric.step for name, metric in self._latest(run).items()}
        new = [point for point in curve if point.step > last.get(names.metric(point.name), -1)]
        for some in _parts(new, _METRICS):
            self.client.log_batch(run, metrics=[_metric(point) for point in some])

    def end(self, run: str, status: Status, ended: int, problem: str, session: str) -> None:
        """Says how a run ended, unless another session goes on with it."""
        tags = self.client.get_run(run).data.tags
        if session and tags.get(SESSION) != session:
            return
        if problem:
            self.client.set_tag(run, "podway.problem", problem[: names.TAG])
        self.client.set_tag(run, "podway.state", status.lower())
        self.client.set_terminated(run, status, ended)

    def knows(self, told: Told) -> bool:
        """Whether the workdir says that all of it is told."""
        return bool(ids.read(self._workdir, told.key, self.address.id).get("whole"))

    def note(self, told: Told, run: str) -> None:
        """Writes down in the workdir that all of it is told."""
        ids.finish(self._workdir, told.key, self.address.id, run, whole=told.is_whole)

    def _run(self, told: Told) -> str:
        dead = ""
        known = ids.read(self._workdir, told.key, self.address.id).get("run", "")
        if known and self._is_there(known, told.key):
            return known
        dead = known
        found = self._find(told.key, told.place)
        created = ""
        if not found:
            parent = self._find(told.of, "") if told.of else ""
            tags = {KEY: told.key, PLACE: told.place}
            created = found = self.client.create_run(
                self._experiment(told.name),
                start_time=told.began,
                tags=tags | ({"mlflow.parentRunId": parent} if parent else {}),
                run_name=told.title,
            ).info.run_id
        counts = ids.claim(self._workdir, told.key, self.address.id, found, dead=dead)
        if created and counts != created:
            self.client.delete_run(created)
        return counts

    def _find(self, key: str, place: str) -> str:
        """The run of an artefact; "" where there is none."""
        if not place:
            known = ids.read(self._workdir, key, self.address.id).get("run", "")
            return known if known and self._is_there(known, key) else ""
        experiments = [self._experiment(key.split("/")[1])]
        found = self.client.search_runs(experiments, f"tags.`{KEY}` = '{key}'")
        here = (each.info.run_id for each in found if each.data.tags.get(PLACE) == place)
        return next(here, "")

    def _is_there(self, run: str, key: str) -> bool:
        try:
            found = self.client.get_run(run)
        except exceptions.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return found.info.lifecycle_stage == "active" and found.data.tags.get(KEY) == key

    def _experiment(self, name: str) -> str:
        name = self.address.experiment or name
        if name not in self._experiments:
            found = self.client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            self._experiments[name] = found.experiment_id if found else self._create(name)
        return self._experiments[name]

    def _create(self, name: str) -> str:
        try:
            return self.client.create_experiment(name, tags=_KIND)
        except exceptions.MlflowException as error:
            found = self.client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                raise
            return found.experiment_id

    def _inputs(self, run: str, inputs: Sequence[Input], known: Any) -> None:
        there = {
            (each.dataset.name, each.dataset.digest) for each in known.inputs.dataset_inputs or ()
        }
        new = [_input(each) for each in inputs if (each.name, each.version) not in there]
        if new:
            self.client.log_inputs(run, datasets=new)

    def _judge(self, run: str, results: Sequence[Point]) -> None:
        """Results that are later than those that are there."""
        if not results:
            return
        latest = self._latest(run)
        new = [
            point
            for point in results
            if (there := latest.get(names.metric(point.name))) is None
            or point.when > there.timestamp
        ]
        for some in _parts(new, _METRICS):
            self.client.log_batch(run, metrics=[_metric(point) for point in some])

    def _latest(self, run: str) -> dict[str, Any]:
        return {each.key: each for each in self.client.get_run(run).data._metric_objs}

    def _status(self, run: str, status: Status, ended: int | None, before: str) -> None:
        if status == "RUNNING":
            if before != "RUNNING":
                self.client.update_run(run, status="RUNNING")
        elif before != status:
            self.client.set_terminated(run, status, ended or int(1000 * time.time()))


def _metric(point: Point) -> Any:
    return entities.Metric(names.metric(point.name), point.value, point.when, point.step)


def _input(read: Input) -> Any:
    """A dataset as MLflow takes it: its version is the digest."""
    source = {"uri": read.place, "raw": list(read.sources)}
    dataset = entities.Dataset(
        name=read.name,
        digest=read.version[:36],
        source_type="local" if "://" not in read.place else read.place.partition("://")[0],
        source=json.dumps(source),
        profile=json.dumps(dict(read.counts)) if read.counts else None,
    )
    return entities.DatasetInput(dataset, [entities.InputTag("mlflow.data.context", "train")])


def _parts(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(itertools.islice(rest, size)):
        yield some


def _reach(uri: str) -> None:
    """Raises at once where a database does not answer; MLflow itself would wait for an hour."""
    if uri.startswith(("sqlite", "http")):
        return
    option = {"connect_timeout": CONNECT} if uri.startswith(("postgres", "mysql")) else {}
    engine = sqlalchemy.create_engine(uri, connect_args=option)
    try:
        with engine.connect():
            pass
    finally:
        engine.dispose()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow says which migrations of a new database it runs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
