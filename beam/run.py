"""Runs the pipeline on this machine."""

import json
import threading
from typing import Any

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from etils import epath

from beam import pipeline, progress, source
from beam.error import restored
from framework.config import Data

SUMMARY = "summary.json"
"""Where the pipeline leaves its numbers for the caller."""

PATIENCE = 60.0
"""Seconds that a pipeline has to stop after Ctrl-C, before its files are removed."""


def run(
    data: Data, files: list[str], stage: epath.Path, options: PipelineOptions | None
) -> dict[str, Any]:
    """Writes the dataset's files below `stage`, and shows progress.

    Everything that is shuffled is held in memory.

    Returns:
      What the pipeline found: {"splits": …, "report": …} (see summary.layout and summary.report).

    Raises:
      DataError, ConfigError, OSError: what a worker raised.
    """
    # Pinned: plain DirectRunner may choose another engine, and behave differently.
    graph = apache_beam.Pipeline(runner=FnApiRunner(), options=options)
    details = pipeline.assemble(graph, data, files, str(stage))
    _ = details | "leave" >> apache_beam.Map(_leave, str(stage / SUMMARY))
    with restored():
        _wait(graph, source.shares(data, files))
    found = json.loads((stage / SUMMARY).read_text())
    (stage / SUMMARY).unlink()
    return found


def _leave(details: dict[str, Any], path: str) -> None:
    epath.Path(path).write_text(json.dumps(details))


def _wait(graph: apache_beam.Pipeline, shares: list[float]) -> None:
    """Runs the pipeline, in a thread: a Ctrl-C inside of Beam would leave it hanging."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            graph.run().wait_until_finish()
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work, daemon=True)
    try:
        with progress.shown(shares):
            worker.start()
            worker.join()
    finally:
        worker.join(PATIENCE)  # after Ctrl-C it still writes, until its next report
    if errors:
        raise errors[0]
