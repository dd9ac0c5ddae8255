"""The same dataset from every engine that PyPI alone brings, and what an engine refuses."""

import contextlib
import logging
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.testing import test_stream

from podway.beam import commit, dataset, error, overview
from podway.beam.engines import run
from podway.beam.engines.options import Dataflow, Engine, Flink, Local, Portable
from podway.beam.error import DataError
from podway.beam.steps import pipeline
from podway.framework import artifact
from podway.framework.config import Data, Parquet
from podway.framework.error import ConfigError
from tests.beam.conftest import make_data, no_dataset, some_events, write_csv
from tests.gcs import ROOT, free_port


@contextlib.contextmanager
def _service(
    folder: pathlib.Path,
    module: str,
    *arguments: str,
    python: str = sys.executable,
    cwd: pathlib.Path = ROOT,
) -> Iterator[None]:
    """A process of Beam's own, from PyPI."""
    path = f"{pathlib.Path(python).parent}:{os.environ['PATH']}"  # a pool calls `python`
    with (folder / f"{module}.log").open("w") as log:
        process = subprocess.Popen(
            [python, "-m", module, *arguments],
            cwd=cwd,
            env=os.environ | {"PATH": path},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def job_service(tmp_path_factory) -> Iterator[str]:
    """Address of a job service."""
    folder = tmp_path_factory.mktemp("service")
    port = folder / "port"
    module = "apache_beam.runners.portability.local_job_service_main"
    with _service(folder, module, "--port_file", str(port), "--staging_dir", str(folder / "s")):
        while not port.exists():
            time.sleep(0.05)
        yield f"localhost:{port.read_text()}"


@contextlib.contextmanager
def running_pool(folder: pathlib.Path, **where: Any) -> Iterator[str]:
    """Address of a pool of workers."""
    port = free_port()
    module = "apache_beam.runners.worker.worker_pool_main"
    with _service(folder, module, f"--service_port={port}", **where):
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
                break
            time.sleep(0.05)
        yield f"localhost:{port}"


@pytest.fixture(scope="module")
def worker_pool(tmp_path_factory) -> Iterator[str]:
    """A pool with this Python."""
    with running_pool(tmp_path_factory.mktemp("pool")) as address:
        yield address


def some_data(folder: pathlib.Path) -> Data:
    """Four files; k-core, a cap and three shards."""
    for part in range(4):
        write_csv(folder / f"{part}.csv", some_events()[part::4])
    fields = {"shards": 3, "min_user_events": 4, "min_item_events": 4, "max_items": 12}
    return make_data(folder / "*.csv", **fields)


def same_dataset(data: Data, folder: pathlib.Path, engine: Engine) -> None:
    """Asserts that an engine and this process make the same dataset, and leave nothing else."""
    manifests = []
    for workdir, where in [("local", Local()), ("there", engine)]:
        directory = dataset.build(data, folder / workdir, where)
        manifests.append(artifact.read(directory, "dataset"))
        assert [path.name for path in directory.parent.iterdir()] == [directory.name]
    here, there = manifests
    assert overview.fingerprint(there) == overview.fingerprint(here)
    assert there.details == here.details
    assert (there.version, there.config, there.inputs) == (here.version, here.config, here.inputs)
    assert there.git == here.git


def test_a_job_service_with_workers_in_this_process(tmp_path, job_service):
    same_dataset(some_data(tmp_path), tmp_path, Portable(job_service, "LOOPBACK"))


def test_a_job_service_with_a_pool_of_workers(tmp_path, job_service, worker_pool):
    same_dataset(some_data(tmp_path), tmp_path, Portable(job_service, "EXTERNAL", worker_pool))


def test_what_a_user_can_mend_comes_back_from_a_job_service(tmp_path, job_service, caplog):
    path = write_csv(tmp_path / "a.csv", some_events())
    engine = Portable(job_service, "LOOPBACK")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        dataset.build(make_data(path, format=Parquet()), tmp_path / "w", engine)
    with pytest.raises(ConfigError, match=r"is left with data\.min_user_events = 999"):
        dataset.build(make_data(path, min_user_events=999), tmp_path / "w", engine)
    assert not caplog.records  # the user sees the sentence, not Beam's traceback
    assert no_dataset(tmp_path / "w")


def test_a_job_service_that_is_not_there_is_named(tmp_path):
    path, port = write_csv(tmp_path / "a.csv", some_events()), free_port()
    with pytest.raises(ConfigError, match=f"no job service answers at localhost:{port}"):
        dataset.build(make_data(path), tmp_path / "w", Portable(f"localhost:{port}"))
    assert no_dataset(tmp_path / "w")


def test_publishing_twice_and_too_late_changes_nothing(tmp_path):
    """A runner may repeat what succeeded, and two people may build one version."""
    data = some_data(tmp_path)
    first, second = (dataset.prepare(data, tmp_path / "w") for _ in range(2))
    for plan in (first, second):
        graph = run.assemble(plan, FnApiRunner(), PipelineOptions([]))
        graph.run().wait_until_finish()
    manifest = artifact.read(first.target, "dataset")
    before = (pathlib.Path(first.target) / artifact.MANIFEST).read_bytes()
    for plan in (first, second):
        commit.publish(plan, manifest.details)
    assert (pathlib.Path(first.target) / artifact.MANIFEST).read_bytes() == before
    assert len(list((tmp_path / "w/datasets/small").iterdir())) == 1


def test_a_source_that_never_ends_is_refused_here(tmp_path, monkeypatch):
    path = write_csv(tmp_path / "a.csv", some_events())
    monkeypatch.setattr(pipeline, "assemble", lambda graph, *_: graph | test_stream.TestStream())
    with pytest.raises(ConfigError, match=r"source \['TestStream'\] never ends"):
        dataset.build(make_data(path), tmp_path / "w")
    assert no_dataset(tmp_path / "w")


@pytest.mark.parametrize(
    ("engine", "fields", "message"),
    [
        (Local, {"workers": 2}, "--mode multi_threading"),
        (Portable, {"environment": "EXTERNAL"}, "--environment-config"),
        (Flink, {"master": "flink.example:8081"}, "LOOPBACK, which a cluster at flink.example"),
        (Dataflow, {"temp_location": "/tmp"}, "gs://BUCKET/FOLDER"),
    ],
)
def test_options_that_cannot_work_name_the_flag(engine, fields, message):
    with pytest.raises(ConfigError, match=message):
        engine(**fields)


def test_what_a_worker_logs_of_an_error_that_is_said_is_not_shown_even_when_it_comes_late(caplog):
    with pytest.raises(DataError, match=r"^row 3 is none$"), error.restore(), error.portable():
        raise DataError("row 3 is none")
    with pytest.raises(error._Carrier) as raised, error.portable():  # as a worker's process has it
        raise DataError("row 3 is none")
    with caplog.at_level(logging.ERROR):
        logging.log(logging.ERROR, "severity: ERROR, message: %s", raised.value)
        service = logging.getLogger("apache_beam.runners.portability.local_job_service")
        service.error("Worker: %s", raised.value)
        logging.log(logging.ERROR, "something else")
    assert [each.getMessage() for each in caplog.records] == ["something else"]
