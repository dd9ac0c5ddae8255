"""What the command prints where not all of it can be shown, or nobody reads it."""

import ast
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys

import pytest

from podway.framework import exit_codes
from podway.launch import cli, console
from tests.test_walls import ROOMS, sources


def in_ascii(*arguments: str) -> str:
    """What a command prints where there is nothing but ASCII."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(out):
        with contextlib.suppress(SystemExit):
            cli.main([*arguments])
        out.flush()
        return out.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 × 3 → 6 – five … ≥ 4", "2 x 3 -> 6 - five ... >= 4"),
        ("95 % ± 0.2, −1, ★", "95 % +- 0.2, -1, *"),
        ("Amélie, λ‖W‖², β 10⁻⁶", "Amelie, lambda||W||2, beta 10-6"),
        ("│ a │\n─┼─", "| a |\n-+-"),
        ("東, \ud800", "?, ?"),
        ("plain\ttext?\n", "plain\ttext?\n"),
    ],
)
def test_what_ascii_has_not_reads_alike(text, expected):
    assert console.readable(text) == expected


def test_every_character_of_ours_has_a_likeness():
    for path in sources(*ROOMS):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                lost = {each for each in node.value if each != "?" == console.readable(each)}
                assert not lost, path


def test_commands_print_where_there_is_only_ascii():
    assert "raw events -> dataset" in in_ascii("--help")
    assert "dataset -> run; resumes" in in_ascii("train", "movielens_popularity", "--help")
    assert "RUN RUN ..." in in_ascii("compare", "--help")
    assert len(in_ascii("configs").splitlines()) > 9
    sizes = ("--shardings", "--topology", "v5e:4x4", "--items", "1000")
    shown = in_ascii("show", "completejourney_sasrec", *sizes)
    assert "mesh slice 1 x data 16 x fsdp 1 x tensor 1" in shown


def test_json_keeps_its_meaning_in_ascii():
    shown = in_ascii("show", "movielens_popularity", "--data.path", "für/東")
    assert json.loads(shown)["data"]["path"] == "für/東"


def run(
    *arguments: str, close: str, code: int, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """A process of its own, whose `close` is a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    streams: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    streams |= dict.fromkeys(close.split(), writer)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "podway.launch.cli", *arguments],
            env=os.environ | environment,
            timeout=300,
            **streams,
        )
    finally:
        os.close(writer)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["at its end", "at its first line"])
@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("configs",), ("compare", "--help"), ("show", "movielens_popularity")],
)
def test_a_command_ends_quietly_where_nobody_reads(arguments, unbuffered):
    environment = {"PYTHONUNBUFFERED": unbuffered}
    done = run(*arguments, close="stdout", code=console.UNREAD, **environment)
    assert done.stderr == b""


def test_a_command_ends_quietly_where_nobody_reads_its_errors():
    assert run("trian", close="stderr", code=console.UNREAD).stdout == b""
    run("trian", close="stdout stderr", code=console.UNREAD)


def test_the_first_line_is_read_and_no_more():
    command = f"{sys.executable} -u -m podway.launch.cli configs | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_another_pipe_that_breaks_is_an_error(monkeypatch, capsys):
    def act(_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setitem(cli.VERBS, "show", cli.VERBS["show"].__class__("", cli.show.Show, act))
    with pytest.raises(SystemExit) as ended:
        cli.main(["show", "movielens_popularity"])
    assert ended.value.code == exit_codes.CRASHED
    assert "podway: error: Broken pipe" in capsys.readouterr().err


def test_ascii_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "podway.launch.cli", "show", "nö–where.py"],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"},
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stderr == b"podway: error: there is no config file no-where.py\n"


def test_what_orbax_raises_it_does_not_log_as_well(tmp_path):
    code = (
        "import sys\n"
        "from podway.launch import console\n"
        "console.prepare_libraries()\n"
        "import numpy as np\n"
        "from podway.framework.runs import checkpoint\n"
        "saving = checkpoint.Checkpoints(sys.argv[1], {}, keep=2, metric='m')\n"
        "def full(*_):\n"
        "    raise OSError(28, 'No space left on device')\n"
        "checkpoint.bits.sums_in_files = full\n"
        "saving.save(1, {'a': np.ones(3)}, 1)\n"
        "try:\n"
        "    saving.wait()\n"
        "except checkpoint.CheckpointError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c")], capture_output=True, text=True
    )
    assert "No space left on device" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("name", "said"), [("orbax/checkpoint.py", False), ("ours.py", True)])
def test_a_task_of_orbax_that_fails_is_not_logged_as_well(name, said):
    """Its frame is below one of a library's in the traceback."""
    code = (
        "import asyncio, sys\n"
        "from podway.launch import console\n"
        "console.prepare_libraries()\n"
        "def library(inner):\n"
        "    inner()\n"
        "scope = {}\n"
        "exec(compile('def fails():\\n    raise OSError(28)', sys.argv[1], 'exec'), scope)\n"
        "async def task():\n"
        "    library(scope['fails'])\n"
        "async def main():\n"
        "    asyncio.create_task(task())\n"
        "    await asyncio.sleep(0.1)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("never retrieved" in done.stderr) == said, done.stderr


def test_of_errors_that_nobody_can_catch_a_closed_loop_alone_is_not_shown():
    code = (
        "from podway.launch import console\n"
        "console.prepare_libraries()\n"
        "class Ends:\n"
        "    def __init__(self, said):\n"
        "        self.said = said\n"
        "    def __del__(self):\n"
        "        raise RuntimeError(self.said)\n"
        "Ends('Event loop is closed')\n"
        "Ends('something else')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "something else" in done.stderr
    assert "loop is closed" not in done.stderr


def test_libraries_say_errors_alone_whatever_level_they_set():
    code = (
        "import logging\n"
        "from podway.launch import console\n"
        "logging.basicConfig(level=logging.ERROR)\n"
        "console.prepare_libraries()\n"
        "import absl.logging\n"
        "absl.logging.set_verbosity(absl.logging.WARNING)\n"
        "absl.logging.warning('a directory is read only')\n"
        "absl.logging.error('the disk is full')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the disk is full" in done.stderr
    assert "read only" not in done.stderr
