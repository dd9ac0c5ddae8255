"""Fetches Kafka's broker with Maven, to where the tests look for it.

usage: python -m tests.online.queue.kafka_jars
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

VERSION = "4.4.0"
WITHOUT = "PODWAY_WITHOUT_KAFKA"
"""Set in the environment where Maven could not fetch it: no test tries it again."""
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>podway</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def place() -> pathlib.Path:
    """The folder of the jars."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return cache / "podway" / f"kafka-{VERSION}"


def fetch() -> pathlib.Path:
    """The folder, with all jars. Raises CalledProcessError where Maven lacks one."""
    target = place()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        pom = pathlib.Path(scratch) / "pom.xml"
        pom.write_text(_POM)
        jars = pathlib.Path(scratch) / "jars"
        command = ["mvn", "-B", "-q", "-ntp", "-f", str(pom), f"{_PLUGIN}:copy-dependencies"]
        options = ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
        try:
            jars.rename(target)
        except OSError:
            if not target.is_dir():  # else another fetched it meanwhile
                raise
    return target


def main() -> int:
    """Fetches it; says where it is, or why it is not."""
    if shutil.which("mvn") is None:
        print("NO KAFKA: there is no `mvn`: install Maven", file=sys.stderr)
        return 1
    try:
        print(fetch())
    except subprocess.CalledProcessError:
        print(f"NO KAFKA: Maven has no broker {VERSION}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
