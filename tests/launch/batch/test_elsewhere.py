"""Answers in a bucket, and by Flink: the same as here, byte by byte."""

import os
import pathlib
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from podway.beam.engines.options import Dataflow, Flink
from podway.launch.batch import estimate, pipeline, predict
from podway.launch.batch.source import OfUsers
from podway.launch.loaded.error import RequestError
from tests.beam.engines import test_flink as flink

SLOWLY = """
import sys, time
import podway
from podway.launch.batch import answer
from podway.launch.cli import main
answered = answer.answer
def slowly(job, number):
    time.sleep(0.5)
    return answered(job, number)
answer.answer = slowly
from podway.launch.batch import predict
import functools
predict.predict = functools.partial(predict.predict, part=10)
main(sys.argv[1:])
"""


def everybody(model) -> OfUsers:
    users = model.known_users()
    return OfUsers(users, np.arange(len(users)), False)


def here(model, folder: pathlib.Path) -> dict[str, bytes]:
    """What the parts are, made here."""
    predict.predict(model, everybody(model), folder, k=3, part=10)
    parts = folder / "recommendations"
    return {path.name: path.read_bytes() for path in sorted(parts.iterdir())}


def test_to_a_bucket_killed_and_given_again(published, shop, strict_store, tmp_path):
    output = f"{strict_store.bucket()}/lists"
    command = ("-c", SLOWLY, "predict", str(shop.model), "--k", "3", "--output", output)
    process = strict_store.start(*command)
    end = time.monotonic() + 200
    while len([name for name in strict_store.names(output) if "part-" in name]) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert "manifest.json" not in strict_store.names(output)
    done = strict_store.run(*command)
    assert done.returncode == 0, done.stderr
    expected = here(published, tmp_path / "x")
    names = [f"recommendations/{name}" for name in expected]
    assert strict_store.names(output) == ["manifest.json", *names]
    bucket, _, prefix = output.removeprefix("gs://").partition("/")
    blobs = strict_store.client().bucket(bucket)
    for name, content in expected.items():
        blob = blobs.blob(f"{prefix}/recommendations/{name}")
        assert blob.download_as_bytes() == content
    assert "up to date" in strict_store.run(*command).stdout


@pytest.mark.slow
def test_by_flink(published, tmp_path):
    if missing := flink._missing():
        assert "CI" not in os.environ or "PODWAY_WITHOUT_FLINK" in os.environ, missing
        pytest.skip(missing)
    engine = Flink(parallelism=2, version=flink._versions()[-1])
    predict.predict(published, everybody(published), tmp_path / "f", k=3, part=10, engine=engine)
    parts = tmp_path / "f" / "recommendations"
    made = {path.name: path.read_bytes() for path in sorted(parts.iterdir())}
    assert made == here(published, tmp_path / "x")
    assert len(pq.read_table(parts)) == 3 * len(published.users)


def test_dataflow_is_refused_where_its_workers_cannot_reach(published, tmp_path):
    source = everybody(published)
    job = predict.planned(published, source, tmp_path / "x", k=3)
    engine = Dataflow(project="p", image="i")
    said = estimate.describe(published, job, engine)
    assert "--job_name=podway-predict-shop-" in said
    assert "--sdk_container_image=i" in said
    assert "before it can run: --output puts the answers at" in said
    job = predict.planned(published, source, "gs://b/x", k=3)
    with pytest.raises(RequestError, match=r"the model lies at .*; give a folder on gs://"):
        pipeline.check_reachable(job, engine)
    with pytest.raises(RequestError, match="--image is missing"):
        pipeline.check_reachable(job, Dataflow(project="p"))
