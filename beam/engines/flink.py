"""Apache Flink: the job server that Beam starts, a Java program in one jar."""

import functools
import logging
import os
import pathlib
import shutil
import threading

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.flink_runner import FlinkRunner

from podway.beam.engines import flink_jar
from podway.beam.engines.options import Flink
from podway.framework.error import check

OPENED = ("java.lang", "java.nio", "java.time", "java.util", "java.util.concurrent", "sun.nio.ch")
"""Packages that Flink's serialisers look into, which Java 17 allows only when told."""
_HANGS_UP = "Multiplexer hanging up"
"""What the job server says to a worker whose stage is done."""


def runner() -> FlinkRunner:
    """What starts the job server and submits the job."""
    _let_hang_up()
    return FlinkRunner()


def options(engine: Flink, environment: list[str]) -> PipelineOptions:
    """Beam's options.

    Raises:
      ConfigError: no Java, or no jar.
    """
    check(
        shutil.which("java") is not None or "JAVA_HOME" in os.environ,
        "--runner flink starts a Java program and there is no `java`: install OpenJDK 17",
    )
    return PipelineOptions(
        [
            f"--flink_master={engine.master}",
            f"--flink_version={engine.version}",
            f"--parallelism={engine.parallelism}",
            f"--flink_job_server_jar={_jar(engine)}",
            f"--job_server_java_launcher={_java()}",
            *(f"--job_server_jvm_property=--add-opens=java.base/{p}=ALL-UNNAMED" for p in OPENED),
            *environment,
        ]
    )


def _jar(engine: Flink) -> pathlib.Path:
    path = pathlib.Path(engine.jar) if engine.jar else flink_jar.found(engine.version)
    missing = path or flink_jar.cache_path(engine.version)
    check(
        missing.is_file(),
        f"--runner flink needs Beam's job server and {missing} does not exist: `python -m"
        f" podway.beam.engines.flink_jar {engine.version}` fetches it with Maven, or give --jar",
    )
    return missing


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    return str(pathlib.Path(home) / "bin" / "java") if home else "java"


@functools.cache
def _let_hang_up() -> None:
    """Keeps from the user what ends well: workers in this process would print two tracebacks.

    For the rest of the process: some stages are hung up on when the job is done already.
    """

    def is_news(error: BaseException | None) -> bool:
        return _HANGS_UP not in str(error)

    def show(thread: threading.ExceptHookArgs) -> None:
        if is_news(thread.exc_value):
            before(thread)

    before, threading.excepthook = threading.excepthook, show
    log = logging.getLogger("apache_beam.runners.worker.data_plane")
    log.addFilter(lambda record: not record.exc_info or is_news(record.exc_info[1]))
