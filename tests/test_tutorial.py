"""docs/tutorial.md, run as a user would: its files, its commands, and what it says they print."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r'"""(\w+\.py): ')
VARIES = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.\d]*)"
    r"|(?P<version>[0-9a-f]{12}-[0-9a-f]{8})"
    r"|(?P<decimal>\d+\.\d+(?:e-\d+)?)"
)
SECONDS = 120


def alike(said: str, printed: str) -> bool:
    """Whether a line of the page is what was printed, but for times, versions and rounding."""
    said, printed = " ".join(said.split()), " ".join(printed.split())
    if VARIES.sub("\0", said) != VARIES.sub("\0", printed):
        return False
    pairs = zip(VARIES.finditer(said), VARIES.finditer(printed), strict=True)
    return all(
        one.lastgroup == other.lastgroup
        and (one.lastgroup != "decimal" or abs(float(one[0]) - float(other[0])) < 0.15)
        for one, other in pairs
    )


def missing(said: str, printed: str) -> str | None:
    """The first line of the page that was not printed after the one before it; None: all were."""
    rest = iter(printed.splitlines())
    for line in said.splitlines():
        if not any(alike(line, other) for other in rest):
            return line
    return None


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def blocks() -> list[tuple[str, str]]:
    """The page's blocks, (kind, text), with ports that are free here."""
    ports = dict(zip(("8500", "8501"), map(str, free_ports()), strict=True))
    text = re.sub(r"\b850[01]\b", lambda found: ports[found[0]], PAGE.read_text())
    return BLOCK.findall(text)


def test_lines_are_alike_but_for_what_varies():
    assert alike("a 0.7600 [0.7200]", "a   0.7500 [0.7101]")
    assert not alike("a 0.7600", "a 0.2600")
    assert not alike("a 4,926 rows", "a 4,927 rows")
    assert alike("x/41d1fe7d0b59-377298fd", "x/000000000000-111111ff")
    assert alike("2026-01-31 12:00:00,000 INFO up", "2027-11-01 01:59:48,763 INFO up")
    assert missing("one\nthree", "one\ntwo\nthree\n") is None
    assert missing("three\none", "one\ntwo\nthree\n") == "one"


def test_every_block_is_a_file_a_command_or_what_one_prints():
    kinds = [kind for kind, _ in blocks()]
    assert set(kinds) == {"python", "sh", "text"}
    assert all(kinds[i - 1] == "sh" for i, kind in enumerate(kinds) if kind == "text")
    assert kinds.count("text") >= 8


@pytest.mark.slow
def test_the_page_is_true(tmp_path):
    """Every file is written, every command is run in its turn and prints what stands below it."""
    if not shutil.which("curl"):
        pytest.skip("no curl on PATH: apt-get install -y curl")
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    user = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    shell = {"cwd": tmp_path, "env": user | {"PATH": path, "COLUMNS": "200"}}
    printed, server = "", None
    try:
        for kind, text in blocks():
            if kind == "python":
                found = FILE.match(text)
                assert found, text
                (tmp_path / found[1]).write_text(text)
            elif kind == "text":
                if server and "INFO" in text:
                    printed = waited_for(text, tmp_path / "server.log", server)
                assert (line := missing(text, printed)) is None, f"{line!r} is not in\n{printed}"
            elif text.startswith("podway serve"):
                with (tmp_path / "server.log").open("w") as log:
                    server = subprocess.Popen(
                        ["bash", "-c", f"exec {text}"], stdout=log, stderr=log, **shell
                    )
            else:
                done = subprocess.run(
                    ["bash", "-e", "-c", text],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=SECONDS,
                    **shell,
                )
                printed = done.stdout
                assert done.returncode == 0, printed
        assert server is not None
        assert server.poll() is None
    finally:
        if server:
            server.terminate()
            assert server.wait(SECONDS) == 0


def waited_for(said: str, log: pathlib.Path, server: subprocess.Popen) -> str:
    """What the server has printed once it has printed this."""
    end = time.monotonic() + SECONDS
    while missing(said, log.read_text()) and time.monotonic() < end and server.poll() is None:
        time.sleep(0.2)
    return log.read_text()
