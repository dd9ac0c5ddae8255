"""Runs the pipeline, wherever the engine says, to a committed dataset."""

import contextlib
import threading
from typing import Any

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import PipelineResult, PipelineRunner

from beam import dataset, pipeline, progress, source
from beam.engine import Dataflow, Engine, Flink, Local, Portable
from beam.error import portable, restored
from beam.plan import Plan
from framework.error import ConfigError

PATIENCE = 60.0
"""Seconds that a pipeline has to stop after Ctrl-C, before its files are removed."""


def run(plan: Plan, engine: Engine) -> None:
    """Runs the pipeline until the plan's dataset is committed; locally with progress.

    Raises:
      DataError, ConfigError, OSError: what a worker raised, or an engine that is not there.
    """
    runner, options = _runner(plan, engine)
    graph = assemble(plan, runner, options)
    bars: contextlib.AbstractContextManager = contextlib.nullcontext()
    if isinstance(engine, Local):
        _refuse_unbounded(graph)
        bars = progress.shown(source.shares(plan.data, list(plan.files)))
    with restored():
        _wait(graph, bars)


def assemble(plan: Plan, runner: PipelineRunner, options: PipelineOptions) -> apache_beam.Pipeline:
    """The whole pipeline, from raw files to the committed dataset."""
    graph = apache_beam.Pipeline(runner=runner, options=options)
    details = pipeline.assemble(graph, plan.data, list(plan.files), plan.stage)
    _ = details | "publish" >> apache_beam.ParDo(_Publish(plan))
    return graph


class _Publish(apache_beam.DoFn):
    """The manifest's details → the committed dataset, by the pipeline itself: nobody may wait."""

    def __init__(self, plan: Plan):
        self._plan = plan

    def process(self, element: dict[str, Any]) -> None:
        with portable():
            dataset.publish(self._plan, element)


def _runner(plan: Plan, engine: Engine) -> tuple[PipelineRunner, PipelineOptions]:
    # Options are always given as a list: without one Beam would parse this process's own.
    match engine:
        case Local():
            # Pinned: plain DirectRunner may choose another engine, and behave differently.
            return FnApiRunner(), PipelineOptions(
                [f"--direct_num_workers={engine.workers}", f"--direct_running_mode={engine.mode}"]
            )
        case Portable():
            return PortableRunner(), PipelineOptions(
                [f"--job_endpoint={engine.job_endpoint}", *_environment(engine)]
            )
        case Flink():
            return FlinkRunner(), PipelineOptions(
                [
                    f"--flink_master={engine.master}",
                    f"--flink_version={engine.version}",
                    f"--parallelism={engine.parallelism}",
                    *([f"--flink_job_server_jar={engine.jar}"] if engine.jar else []),
                    *_environment(engine),
                ]
            )
        case Dataflow():
            from beam import dataflow  # needs the extra `gcs`

            return dataflow.runner(), dataflow.options(plan, engine)
    raise ConfigError(f"the engine is {engine}; give Local, Portable, Flink or Dataflow")


def _environment(engine: Portable | Flink) -> list[str]:
    config = engine.environment_config
    return [
        f"--environment_type={engine.environment}",
        *([f"--environment_config={config}"] if config else []),
    ]


def _refuse_unbounded(graph: apache_beam.Pipeline) -> None:
    """FnApiRunner would say DONE at once, without any data."""
    proto: Any = graph.to_runner_api()
    for collection in proto.components.pcollections.values():
        if collection.is_bounded == beam_runner_api_pb2.IsBounded.UNBOUNDED:
            raise ConfigError(
                f"{collection.unique_name} never ends, and --runner local runs only what does;"
                " choose --runner flink or dataflow"
            )


def _wait(graph: apache_beam.Pipeline, bars: contextlib.AbstractContextManager) -> None:
    """Runs the pipeline, in a thread: a Ctrl-C inside of Beam would leave it hanging."""
    errors: list[BaseException] = []
    results: list[PipelineResult] = []

    def work() -> None:
        try:
            results.append(graph.run())
            results[0].wait_until_finish()
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work, daemon=True)
    try:
        with bars:
            worker.start()
            worker.join()
    except BaseException:
        if results:
            results[0].cancel()
        raise
    finally:
        worker.join(PATIENCE)  # after Ctrl-C it still writes, until its next report
    if errors:
        raise errors[0]
