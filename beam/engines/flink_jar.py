"""Fetches what `--runner flink` starts, with Maven, to where Beam looks for it.

usage: python -m podway.beam.engines.flink_jar [1.20 1.19:2.62.0 …]

A choice is a Flink version, whose job server is fetched at the version of the installed Beam (one
jar with all in it); or FLINK:BEAM, the runner of that Beam with the jars that it needs, for
registries that lack the job server: a jar that names them all starts the same program. The first
choice that the registry has is taken.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable

from apache_beam.utils.subprocess_server import JavaJarServer
from apache_beam.version import __version__

CHOICES = ("1.20", "1.19:2.62.0")
_DRIVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>podway</groupId><artifactId>flink</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.beam</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
  </dependency></dependencies>
</project>
"""


def cache_path(flink: str, beam: str = __version__) -> pathlib.Path:
    """Where the job server lies, for a Flink version at a version of Beam."""
    name = f"beam-runners-flink-{flink}-job-server-{beam}.jar"
    return pathlib.Path(JavaJarServer.JAR_CACHE) / name


def found(flink: str) -> pathlib.Path | None:
    """The job server that is there for a Flink version: at the installed Beam's version, or else
    one that `fetch` made at another."""
    own = cache_path(flink)
    others = sorted(own.parent.glob(cache_path(flink, "*").name))
    return own if own.is_file() else others[-1] if others else None


def fetch(choice: str) -> pathlib.Path:
    """Fetches one choice, unless it is there. Raises CalledProcessError where Maven lacks it."""
    flink, _, beam = choice.partition(":")
    target = cache_path(flink, beam or __version__)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    if beam:
        library = target.with_suffix("")
        _copy_with_dependencies(f"beam-runners-flink-{flink}", beam, library)
        write_starter(target, library.glob("*.jar"))
    else:
        artifact = f"org.apache.beam:beam-runners-flink-{flink}-job-server:{__version__}"
        _maven("copy", f"-Dartifact={artifact}", f"-DoutputDirectory={target.parent}")
    return target


def write_starter(target: pathlib.Path, jars: Iterable[pathlib.Path]) -> None:
    """A jar that starts the job server from other jars, whose absolute paths it names."""
    uris = " ".join(path.resolve().as_uri() for path in sorted(jars))
    lines = ["Manifest-Version: 1.0", f"Main-Class: {_DRIVER}", f"Class-Path: {uris}"]
    # A line of a manifest has at most 72 bytes, and goes on after a space (JAR File Specification).
    folded = (
        "\r\n ".join([line[:72], *(line[start : start + 71] for start in range(72, len(line), 71))])
        for line in lines
    )
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "\r\n".join([*folded, "", ""]))
    os.replace(partial, target)


def _copy_with_dependencies(artifact: str, version: str, folder: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        pom = pathlib.Path(scratch) / "pom.xml"
        pom.write_text(_POM.format(artifact=artifact, version=version))
        _maven("copy-dependencies", "-f", str(pom), f"-DoutputDirectory={folder}")


def _maven(goal: str, *arguments: str) -> None:
    command = ["mvn", "-B", "-U", "-q", "-ntp", f"{_PLUGIN}:{goal}", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main(choices: list[str]) -> int:
    """Fetches the first choice that there is; says which, or that there is none."""
    for choice in choices or CHOICES:
        try:
            print(fetch(choice))
            return 0
        except subprocess.CalledProcessError:
            print(f"Maven has no job server for Flink {choice}", file=sys.stderr)
        except FileNotFoundError:
            print("there is no `mvn`: install Maven", file=sys.stderr)
            break
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
