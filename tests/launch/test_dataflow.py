"""Jobs for Dataflow: what is shown, submitted, staged and made into templates."""

import json
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from podway.beam import dataset, overview
from podway.beam.engines.options import Dataflow
from podway.framework import artifact, codec
from podway.framework.error import ConfigError
from podway.launch import cli
from podway.launch.dataflow import flex_template, submit
from tests.beam.conftest import make_data, some_events, write_csv
from tests.gcs import Store
from tests.launch import dataflow_service

CONFIG = """
from podway.framework.config import Data, Experiment
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW

def experiment():
    data = Data(name="small", path={path!r}, shards=2, min_user_events=4, min_item_events=4)
    return Experiment(name="small", data=data, model=SasRec(), optimizer=AdamW())
"""


@pytest.fixture
def service() -> Iterator[dataflow_service.Service]:
    with dataflow_service.running() as service:
        yield service


@pytest.fixture
def raw(tmp_path, beam_store: Store) -> tuple[str, artifact.Manifest]:
    """A bucket with raw files, and the dataset that this process makes of the same files."""
    bucket = beam_store.bucket()
    (tmp_path / "raw").mkdir()
    for part in range(2):
        file = write_csv(tmp_path / "raw" / f"{part}.csv", some_events()[part::2])
        beam_store.put(f"{bucket}/raw/{file.name}", file.read_bytes())
    data = make_data(tmp_path / "raw" / "*.csv", min_user_events=4, min_item_events=4)
    local = artifact.read(dataset.build(data, tmp_path / "w"), "dataset")
    (tmp_path / "config.py").write_text(CONFIG.format(path=f"{bucket}/raw/*.csv"))
    return bucket, local


def _options(service: dataflow_service.Service, bucket: str) -> list[str]:
    options = ["--project", "test-project", "--image", "example/podway:1"]
    return [*options, "--endpoint", service.url, "--workdir", f"{bucket}/w"]


@pytest.mark.slow
def test_a_submitted_job_makes_the_same_dataset_and_nobody_waits(
    tmp_path, beam_store, service, raw
):
    bucket, local = raw
    arguments = ["podway.launch.cli", "launch", "dataflow", str(tmp_path / "config.py")]
    account = service.credentials(tmp_path)
    done = beam_store.run("-m", *arguments, *_options(service, bucket), **account)
    assert done.returncode == 0, done.stderr
    assert "job: job-1" in done.stdout
    assert service.polls == 0
    (job,) = service.jobs
    (pool,) = job["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == "example/podway:1"
    assert pool["machineType"] == "n2-highmem-4"
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 16
    made = dataflow_service.execute(beam_store, service.pipeline(), f"{bucket}/w/datasets/small")
    fingerprint, details, git = made
    assert fingerprint == overview.fingerprint(local)
    for found in (details, local.details):  # other paths, same content
        assert found.pop("raw")
        for group in found["report"]["columns"]:
            assert [group.pop(name)[-5:] for name in ("first", "last")] == ["0.csv", "1.csv"]
    assert details == local.details
    assert git == local.git


@pytest.mark.slow
def test_the_flex_launcher_submits_a_job_that_makes_the_same_dataset_and_ends(
    tmp_path, beam_store, service, raw
):
    """As Google's launcher container calls it: the data part as JSON, Beam's options behind."""
    bucket, local = raw
    data = make_data("gs://replaced/*.csv", min_user_events=4, min_item_events=4)
    beam_store.put(f"{bucket}/data.json", json.dumps(codec.to_json(data)).encode())
    arguments = [f"--data={bucket}/data.json", f"--workdir={bucket}/w", f"--input={bucket}/raw/*"]
    beams = ["--runner=DataflowRunner", "--project=test-project", "--region=us-central1"]
    beams += [f"--temp_location={bucket}/beam", f"--dataflow_endpoint={service.url}"]
    beams += ["--sdk_container_image=example/podway:1", "--job_name=from-template"]
    account = service.credentials(tmp_path)
    done = beam_store.run("-m", "podway.launch.dataflow.launcher", *arguments, *beams, **account)
    assert done.returncode == 0, done.stderr
    assert (service.jobs[0]["name"], service.polls) == ("from-template", 0)
    made = dataflow_service.execute(beam_store, service.pipeline(), f"{bucket}/w/datasets/small")
    assert made[0] == overview.fingerprint(local)


@pytest.mark.slow
def test_a_classic_template_is_a_file_and_no_job(tmp_path, beam_store, service, raw):
    bucket, local = raw
    arguments = ["podway.launch.cli", "launch", "dataflow", str(tmp_path / "config.py")]
    options = [*_options(service, bucket), "--template", f"{bucket}/templates/small"]
    done = beam_store.run("-m", *arguments, *options, **service.credentials(tmp_path))
    assert done.returncode == 0, done.stderr
    assert not service.jobs
    bucket_name = bucket.removeprefix("gs://")
    blob = beam_store.client().bucket(bucket_name).blob("templates/small")
    job = json.loads(blob.download_as_bytes())
    service.jobs.append(job)
    made = dataflow_service.execute(beam_store, service.pipeline(), f"{bucket}/w/datasets/small")
    assert made[0] == overview.fingerprint(local)


@pytest.mark.slow
def test_podway_data_waits_for_the_job(tmp_path, beam_store, service, raw):
    bucket, local = raw

    def work() -> None:
        while not service.polls:
            time.sleep(0.1)
        dataflow_service.execute(beam_store, service.pipeline(), f"{bucket}/w/datasets/small")
        service.state = "JOB_STATE_DONE"

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    arguments = ["podway.launch.cli", "data", str(tmp_path / "config.py"), "--runner", "dataflow"]
    account = service.credentials(tmp_path)
    done = beam_store.run("-m", *arguments, *_options(service, bucket), **account)
    assert done.returncode == 0, done.stderr
    assert overview.fingerprint(local) in done.stdout


@pytest.fixture
def dry_run(monkeypatch, capsys) -> Callable[..., str]:
    """What a dry run prints, where there is no network."""

    def refuse(*_, **__) -> None:
        raise AssertionError("a dry run called the network")

    def run(*options: str) -> str:
        with monkeypatch.context() as patch:
            for name in ("create_connection", "getaddrinfo"):
                patch.setattr(socket, name, refuse)
            cli.main(["launch", "dataflow", "movielens_sasrec", "--dry-run", *options])
        return capsys.readouterr().out

    return run


def test_a_dry_run_shows_the_job_without_a_network(dry_run):
    options = ["--project", "p", "--image", "example/podway:1", "--workdir", "gs://bucket/w"]
    shown = dry_run(*options, "--machine-type", "e2-highcpu-2", "--data.shards", "3")
    for text in (
        "\n  group by bucket\n",
        "\n  publish\n",
        "--sdk_container_image=example/podway:1",
        "--temp_location=gs://bucket/w/beam",
        "type   e2-highcpu-2 (1.07 GB for each CPU's process)",
        "rows   100,004 rows",
        "shards 3 for each split (data.shards), about 33,334 rows each",
        "nothing is missing",
    ):
        assert text in shown


def test_a_dry_run_says_what_is_missing(dry_run):
    shown = dry_run()
    for text in ("--project is missing", "--image is missing", "--workdir gs://BUCKET/FOLDER"):
        assert text in shown
    assert "rows   unknown" in dry_run("--data.path", "gs://bucket/raw/*.csv")


def test_memory_of_machine_types():
    engine = Dataflow(machine_type="n1-custom-2-13312")
    assert submit._process_bytes(engine.machine_type) == 6656 * 2**20
    assert submit._process_bytes("c3d-highmem-8") == 8 * 2**30
    assert submit._process_bytes("mystery") is None


def test_the_flex_template_is_complete_and_parses_as_dataflow_does(tmp_path):
    from google.cloud.dataflow_v1beta3.types import ContainerSpec, ParameterType

    engine = Dataflow(project="p", image="example/podway:1", public_ips=False)
    data = make_data("gs://bucket/raw/*.csv")
    folder = flex_template.write(data, tmp_path / "template", engine)
    text = (folder / "template.json").read_text()
    spec = ContainerSpec.from_json(text, ignore_unknown_fields=False)
    assert spec.image == spec.default_environment.sdk_container_image == "example/podway:1"
    types = {parameter.name: parameter.param_type for parameter in spec.metadata.parameters}
    assert types["workdir"] == ParameterType.GCS_WRITE_FOLDER
    assert codec.from_json(type(data), json.loads((folder / "data.json").read_text())) == data
    dockerfile = (folder / "Dockerfile").read_text()
    assert "source[data,gcs]" in dockerfile
    copied = [word for line in dockerfile.splitlines() if line.startswith("COPY ")
              for word in line.split()[1:-1] if "/" not in word and "--" not in word]  # fmt: skip
    assert copied
    assert all((folder / name).exists() for name in copied)
    constraints = (folder / "constraints.txt").read_text()
    assert "apache-beam==" in constraints
    assert not {"jax", "tensorflow"} & {line.partition("==")[0] for line in constraints.split()}
    for package in ("beam", "framework", "launch"):
        assert (folder / "source" / "src" / "podway" / package / "__init__.py").exists()
    with pytest.raises(ConfigError, match="is not empty"):
        flex_template.write(data, folder, engine)
    with pytest.raises(ConfigError, match="--image is missing"):
        flex_template.write(data, tmp_path / "other", Dataflow())
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ("{}", {"project": ""}, "--project is missing"),
        ("{}", {"image": ""}, "--image is missing"),
        ("{}", {}, "a.csv is a local file, which workers cannot read"),
    ],
)
def test_what_a_job_needs_is_named(tmp_path, path, fields, message):
    from podway.beam import plan
    from podway.beam.engines import dataflow

    data = make_data(write_csv(tmp_path / "a.csv", some_events()))
    job = plan.BuildPlan(
        data, (data.path,), (), plan.stamps(data), {}, "", "gs://bucket/w/a/b/c", {}
    )
    engine = Dataflow(**{"project": "p", "image": "i", **fields})
    with pytest.raises(ConfigError, match=message):
        dataflow.check_reachable(job, engine)
    assert pathlib.Path(data.path).exists()
