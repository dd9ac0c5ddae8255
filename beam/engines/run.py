"""Runs the pipeline, wherever the engine says, to a committed dataset."""

import contextlib
import logging
import socket
import tempfile
import threading
from typing import Any

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import PipelineVisitor
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import PipelineRunner

from podway.beam import commit
from podway.beam.engines import allocator, estimate, flink
from podway.beam.engines.options import Dataflow, Engine, Flink, Local, Portable
from podway.beam.error import portable, restore
from podway.beam.formats import source
from podway.beam.plan import BuildPlan
from podway.beam.steps import chunk, pipeline, progress
from podway.framework.error import ConfigError, check
from podway.framework.page import text

_LOG = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a pipeline has to stop after Ctrl-C, before its files are removed."""


def run(plan: BuildPlan, engine: Engine) -> None:
    """Runs the pipeline until the plan's dataset is committed; locally with progress.

    Raises:
      DataError, ConfigError, OSError: what a worker raised, or an engine that is not there.
    """
    runner, options = _runner(plan, engine)
    if not isinstance(engine, Local):
        execute(assemble(plan, runner, options), engine, contextlib.nullcontext())
        return
    _announce_memory(plan)
    allocator.reuse()
    # FnApiRunner keeps in memory what it shuffles: large tables are in files instead.
    with tempfile.TemporaryDirectory(prefix="podway-data-") as folder, chunk.scratch(folder):
        graph = assemble(plan, runner, options)
        _refuse_unbounded(graph)
        execute(graph, engine, progress.shown(_shares(plan)))


def execute(
    graph: apache_beam.Pipeline, engine: Engine, bars: contextlib.AbstractContextManager
) -> None:
    """Runs a pipeline to its end, inside of `bars`; see `run` for what it raises."""
    with restore():
        if isinstance(engine, Local):
            _run_here(graph, bars)
        else:
            with bars:
                _run_there(graph)


def _shares(plan: BuildPlan) -> list[float]:
    """Each raw file's part of what is read, by its number; the base's are not read."""
    before = plan.base.files if plan.base else 0
    return [0.0] * before + source.shares(plan.data, list(plan.files))


def assemble(
    plan: BuildPlan, runner: PipelineRunner, options: PipelineOptions
) -> apache_beam.Pipeline:
    """The whole pipeline, from raw files to the committed dataset."""
    graph = apache_beam.Pipeline(runner=runner, options=options)
    details = pipeline.assemble(
        graph, plan.data, list(plan.files), plan.stage, plan.base, plan.recognised
    )
    _ = details | "publish" >> apache_beam.ParDo(_Publish(plan))
    return graph


class _Publish(apache_beam.DoFn):
    """The manifest's details → the committed dataset, by the pipeline itself: nobody may wait."""

    def __init__(self, plan: BuildPlan):
        self._plan = plan

    def process(self, element: dict[str, Any]) -> None:
        with portable():
            commit.publish(self._plan, element)


class _Options(PipelineOptions):
    """Options that make each view of themselves once: Beam asks for several at every step, and to
    make one takes an argument parser. The views share their values in any case."""

    def view_as(self, cls: Any) -> Any:
        views = self.__dict__.setdefault("_views", {})  # attributes are options here
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]


def _runner(plan: BuildPlan, engine: Engine) -> tuple[PipelineRunner, PipelineOptions]:
    if isinstance(engine, Dataflow):
        from podway.beam.engines import dataflow  # needs the extra `gcs`

        dataflow.check_reachable(plan, engine)
        return dataflow.runner(), dataflow.options(plan, engine)
    return runner_of(engine)


def runner_of(engine: Engine) -> tuple[PipelineRunner, PipelineOptions]:
    """What runs a pipeline, for engines whose options do not depend on what is made. Raises
    ConfigError: it is not there."""
    # Options are always given as a list: without one Beam would parse this process's own.
    match engine:
        case Local():
            # Pinned: plain DirectRunner may choose another engine, and behave differently.
            return FnApiRunner(), _Options(
                [f"--direct_num_workers={engine.workers}", f"--direct_running_mode={engine.mode}"]
            )
        case Portable():
            _check_answers(engine.job_endpoint)
            return PortableRunner(), PipelineOptions(
                [f"--job_endpoint={engine.job_endpoint}", *_environment(engine)]
            )
        case Flink():
            return flink.runner(), flink.options(engine, _environment(engine))
    raise ConfigError(f"the engine is {engine}; give Local, Portable, Flink or Dataflow")


def _environment(engine: Portable | Flink) -> list[str]:
    config = engine.environment_config
    return [
        f"--environment_type={engine.environment}",
        *([f"--environment_config={config}"] if config else []),
    ]


def _check_answers(address: str) -> None:
    """Beam would try for five minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no job service answers at {address} ({error}); start one, or give the address of"
            " another as --job-endpoint HOST:PORT"
        ) from error


def _refuse_unbounded(graph: apache_beam.Pipeline) -> None:
    """FnApiRunner would say DONE at once, without any data."""
    endless: list[str] = []

    class Sources(PipelineVisitor):
        def visit_transform(self, transform_node: Any) -> None:
            made, taken = transform_node.outputs.values(), transform_node.main_inputs.values()
            endless_output = any(not collection.is_bounded for collection in made)
            if endless_output and all(collection.is_bounded for collection in taken):
                endless.append(transform_node.full_label)

    graph.visit(Sources())
    check(
        not endless,
        f"the source {sorted(endless)[:1]} never ends, and --runner local runs only what does;"
        " choose --runner flink or dataflow",
    )


def _announce_memory(plan: BuildPlan) -> None:
    """Says what FnApiRunner will need, and how to need less where that is more than there is."""
    try:
        found = estimate.estimate(plan.data, list(plan.files))
    except (OSError, ValueError) as error:  # the pipeline will say it better, with file and row
        _LOG.info("rows cannot be estimated: %s", error)
        return
    needed, free = found.local_bytes(), estimate.available_bytes()
    need = f"{found.summary()} need some {text.size(needed)} of memory"
    if free is None or needed <= free:
        _LOG.info("%s; free: %s", need, "unknown" if free is None else text.size(free))
        return
    _LOG.warning(
        "%s and %s are free: run on a larger machine, or with --runner flink or dataflow, whose"
        " workers hold one shard each (%s with data.shards = %d; more shards, less memory)",
        need,
        text.size(free),
        text.size(found.worker_bytes(plan.data.shards)),
        plan.data.shards,
    )


def _run_here(graph: apache_beam.Pipeline, bars: contextlib.AbstractContextManager) -> None:
    """Runs the pipeline, in a thread: a Ctrl-C inside of Beam would leave it hanging."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            graph.run().wait_until_finish()
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work, daemon=True)
    try:
        with bars:
            worker.start()
            worker.join()
    finally:
        worker.join(PATIENCE)  # after Ctrl-C it still writes, until its next report
    if errors:
        raise errors[0]


def _run_there(graph: apache_beam.Pipeline) -> None:
    """Submits the pipeline and waits; Ctrl-C cancels it. Flink's client needs the main thread."""
    result = graph.run()
    try:
        result.wait_until_finish()
    except KeyboardInterrupt:
        result.cancel()
        raise
