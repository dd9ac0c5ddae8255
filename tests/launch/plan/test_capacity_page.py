"""docs/capacity.md: what stands there is what the command prints, and its price file is one."""

import pathlib
import re
import shlex

import pytest

from podway.launch.plan import defaults
from podway.launch.prices import book
from tests.launch.test_cli import in_process_of_its_own, podway

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "capacity.md").read_text()
COMMAND, SAID = re.findall(
    r"^```sh\n(podway plan [^`]*)^```\n\n```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
)[0]
ARGUMENTS = shlex.split(COMMAND.replace("\\\n", ""))[1:]
COMPILED = ("step_seconds", "device_needed_bytes", "device_limit_bytes")


def shown(name: str) -> str:
    """A figure's value as the page has it."""
    found = re.search(rf"^  {name} +([\d.,e-]+)  ", SAID, re.MULTILINE)
    assert found, name
    return found[1].replace(",", "")


def test_the_page_is_what_the_command_prints_but_for_what_is_compiled():
    """Quick: what the compiler said is taken from the page, and stands there rounded."""
    taken = [f"{name}={shown(name)}" for name in (*COMPILED, "step_slowdown")]
    done = podway(*ARGUMENTS, "--no-compile", "--assume", *taken)
    assert done.returncode == 0, done.stderr
    said, printed = SAID.splitlines(), done.stdout.splitlines()
    assert len(said) == len(printed)
    for page, line in zip(said, printed, strict=True):
        if any(f"  {name} " in line for name in (*COMPILED, "step_slowdown")):
            continue
        assert page.split() == line.split()


@pytest.mark.slow
def test_the_page_is_what_the_command_prints():
    done = in_process_of_its_own(*ARGUMENTS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == SAID


def test_the_page_asks_for_what_it_says():
    assert "--users 300e6" in COMMAND
    assert "--requests-per-second 100e3" in COMMAND


def test_what_it_calls_measured_stands_in_the_results():
    results = (pathlib.Path(__file__).parents[3] / "docs" / "results.md").read_text()
    sources = " ".join(figure.source for figure in defaults.MEASURED)
    for said, there in (
        ("0.71 M rows/s", "0.71 M rows/s"),
        ("1,826 QPS", "1,826 QPS"),
        ("4.9 ms a request", "| 8 | 4.9 |"),
    ):
        assert said in sources
        assert there in results


def test_its_price_file_is_one(tmp_path):
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    file = tmp_path / "own.toml"
    file.write_text(text)
    prices = book.read(str(file))
    for region, value in (("us-central1", 5.2), ("asia-east1", 6.0)):
        price = prices.chip_hour("tpu7x", region, "reserved")
        assert price is not None
        assert price.value == value
