"""`podway launch dataflow --streaming`: shows the lander's job, or submits it. Never waits."""

from __future__ import annotations

import dataclasses
from typing import Any

from podway.beam.engines.options import Dataflow
from podway.beam.streaming.options import Streaming
from podway.framework.config import Experiment
from podway.framework.error import PodwayError, check
from podway.launch.dataflow import submit
from podway.online.lander import service

PLACEHOLDERS = {
    "subscription": "projects/my-project/subscriptions/NAME",
    "dead_topic": "projects/my-project/topics/NAME",
}
"""What a dry run shows where a name is still missing."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to run.

    Attributes:
      experiment: its `online` says what is landed, and when.
      root: folder of the shards.
      temporary: folder of Beam's files.
      engine: machines.
      streaming: Pub/Sub's names.
    """

    experiment: Experiment
    root: str
    temporary: str
    engine: Dataflow
    streaming: Streaming


def job(experiment: Experiment, workdir: str, engine: Dataflow, streaming: Streaming) -> Job:
    """The job of an experiment; its shards lie where `podway lander` would put them."""
    home = workdir.rstrip("/")
    root = service.root(experiment.online.lander, f"{home}/online/{experiment.name}")
    return Job(experiment, root, engine.temp_location or f"{home}/beam", engine, streaming)


def submitted(of: Job) -> str:
    """Submits the job; says what was done.

    Raises:
      ConfigError: an option is missing, or workers cannot write there.
      PodwayError: the jobs API refused.
    """
    from podway.beam.engines import dataflow

    _check(of)
    result = submit.sent(_graph(of, dataflow.runner(), _options(of)))
    url = dataflow.console_url(of.engine, result.job_id())
    return f"job: {result.job_id()}\n{url}\n{of.root}"


def described(of: Job) -> str:
    """The job as it would be submitted, without a network."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

    missing = [name for name in submit.PLACEHOLDERS if not getattr(of.engine, name)]
    lacks = [name for name in PLACEHOLDERS if not getattr(of.streaming, name)]
    filled = dataclasses.replace(
        of,
        engine=dataclasses.replace(
            of.engine, **{name: submit.PLACEHOLDERS[name] for name in missing}
        ),
    )
    names = {name: getattr(of.streaming, name) or PLACEHOLDERS[name] for name in PLACEHOLDERS}
    graph = _graph(filled, FnApiRunner(), PipelineOptions(["--streaming"]), names)
    remarks = [f"--{name.replace('_', '-')} is missing" for name in (*missing, *lacks)]
    if not remarks:
        try:
            _check(of)
        except PodwayError as error:
            remarks.append(str(error))
    engine = filled.engine
    sections = {
        "job": [
            names["subscription"],
            f"→ {of.root}",
            f"dead → {names['dead_topic']}",
            f"on Dataflow in {engine.region}, project {engine.project}; it does not end",
        ],
        "graph": list(submit.tree(graph.to_runner_api())),
        "options": submit.shown(_options(filled)),
        "machines": submit.machines(engine),
        "before it can run": remarks or ["nothing is missing"],
    }
    return "\n\n".join(
        f"{title}\n" + "\n".join(f"  {line}" for line in part) for title, part in sections.items()
    )


def _check(of: Job) -> None:
    from podway.beam.engines import dataflow

    dataflow.check_writes(of.engine, "the shards", of.root, of.temporary)
    for name, example in PLACEHOLDERS.items():
        check(
            bool(getattr(of.streaming, name)),
            f"--{name.replace('_', '-')} is missing; give {example}",
        )


def _options(of: Job) -> Any:
    from podway.beam.engines import dataflow

    name = dataflow.job_name(of.experiment.name, "lander")
    return dataflow.of_job(of.engine, name, of.temporary, "--streaming")


def _graph(of: Job, runner: Any, options: Any, names: dict[str, str] | None = None) -> Any:
    import apache_beam
    from apache_beam.io.gcp.pubsub import ReadFromPubSub, WriteToPubSub

    from podway.beam.streaming import pipeline

    names = names or {name: getattr(of.streaming, name) for name in PLACEHOLDERS}
    graph = apache_beam.Pipeline(runner=runner, options=options)
    messages = graph | "messages" >> ReadFromPubSub(
        subscription=names["subscription"], with_attributes=True
    )
    online = of.experiment.online
    _, dead = pipeline.assemble(
        messages, online.topics.events, of.root, online, of.streaming.shards
    )
    _ = dead | "dead" >> WriteToPubSub(names["dead_topic"], with_attributes=True)
    return graph
