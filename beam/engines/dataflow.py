"""Google Cloud Dataflow: its options from ours, and what a job there needs. Extra: `gcs`."""

import re
from typing import Any

import google.cloud.dataflow_v1beta3  # noqa: F401, of the extra; Beam would only say it later
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from etils import epath

from podway.beam.engines.options import Dataflow
from podway.beam.plan import BuildPlan
from podway.framework.error import check

_FOLDER = re.compile(r"gs://[a-z0-9][-_a-z0-9.]+[a-z0-9]/.+")


def check_reachable(plan: BuildPlan, engine: Dataflow) -> None:
    """Raises ConfigError where the workers could not run, read or write."""
    check_writes(engine, "the dataset", plan.target, _temporary(plan, engine))
    for file, *_ in plan.stamps:
        check(
            file.startswith("gs://"),
            f"{file} is a local file, which workers cannot read; copy it to gs:// and change"
            " data.path",
        )


def check_writes(engine: Dataflow, what: str, target: str, temporary: str) -> None:
    """Raises ConfigError where the workers could not run, or not write `what` to `target`."""
    check(bool(engine.project), "--project is missing; name the Google Cloud project that pays")
    check(
        bool(engine.image),
        "--image is missing; workers need Beam's image with podway[data]: `podway launch dataflow"
        " CONFIG --flex-template DIR` writes its Dockerfile",
    )
    check(
        target.startswith("gs://"),
        f"--workdir puts {what} at {target}, which workers cannot reach; give"
        " --workdir gs://BUCKET/FOLDER",
    )
    check(  # Beam would make a bucket of its own
        bool(_FOLDER.fullmatch(temporary)),
        f"{temporary!r} is no folder on gs://; give --temp-location gs://BUCKET/FOLDER",
    )


def options(plan: BuildPlan, engine: Dataflow) -> PipelineOptions:
    """Beam's options for a job that builds the plan's dataset."""
    name = job_name(plan.data.name, epath.Path(plan.target).name)
    return of_job(engine, name, _temporary(plan, engine))


def of_job(engine: Dataflow, name: str, temporary: str, *more: str) -> PipelineOptions:
    """Beam's options for any job; `name` and `temporary` are where the engine says nothing, `more`
    are others, as on Beam's command line."""
    temporary = engine.temp_location or temporary
    given: dict[str, Any] = {
        "runner": "DataflowRunner",
        "project": engine.project,
        "region": engine.region,
        "job_name": engine.job_name or name,
        "temp_location": temporary,
        "staging_location": temporary,
        "sdk_container_image": engine.image,
        "sdk_location": "container",  # Beam is in the image: workers install nothing
        "machine_type": engine.machine_type,
        "max_num_workers": engine.max_workers,
        "disk_size_gb": engine.disk_gb,
        "service_account_email": engine.service_account,
        "subnetwork": engine.subnetwork,
        "dataflow_endpoint": engine.endpoint,
    }
    arguments = [f"--{name}={value}" for name, value in given.items() if value]
    if not engine.public_ips:
        arguments.append("--no_use_public_ips")
    return PipelineOptions([*arguments, *more])


def runner() -> DataflowRunner:
    """What submits the job."""
    return DataflowRunner()


def console_url(engine: Dataflow, job: str) -> str:
    """The page where a job can be watched."""
    return (
        f"https://console.cloud.google.com/dataflow/jobs/{engine.region}/{job}"
        f"?project={engine.project}"
    )


def _temporary(plan: BuildPlan, engine: Dataflow) -> str:
    return engine.temp_location or str(epath.Path(plan.target).parent.parent.parent / "beam")


def job_name(name: str, version: str) -> str:
    """Lower-case letters, digits and hyphens; the version makes it the job of this artefact."""
    name = re.sub("[^a-z0-9]+", "-", f"podway-{name}".lower())[:40].strip("-")
    return f"{name}-{version.lower()}"
