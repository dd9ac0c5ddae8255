"""docs/capacity.md: what stands there is what the command prints, and its price file is one."""

import re
import shlex
import subprocess
import sys

import pytest

from podway.launch.plan import defaults
from podway.launch.prices import book
from tests.launch.test_cli import ROOT, podway

PAGE = (ROOT / "docs" / "capacity.md").read_text()
COMMAND, SAID = re.findall(
    r"^```sh\n(podway plan [^`]*)^```\n\n```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
)[0]
ARGUMENTS = shlex.split(COMMAND.replace("\\\n", ""))[1:]


COMPILED = ("step_seconds", "step_slowdown", "device_needed_bytes", "device_limit_bytes")


def shown(name: str) -> str:
    """A figure's value as the page has it."""
    found = re.search(rf"^  {name} +([\d.,e-]+)  ", SAID, re.MULTILINE)
    assert found, name
    return found[1].replace(",", "")


def alike(said: str, printed: str) -> bool:
    """Whether two words are the same, or numbers that differ by what rounding leaves."""
    try:
        one, other = (float(word.replace(",", "")) for word in (said, printed))
    except ValueError:
        return said == printed
    return said == printed or abs(one - other) <= 2e-3 * abs(one)


def test_the_page_is_what_the_command_prints_but_for_the_compiler():
    """Quick: what was compiled is taken from the page, where it is rounded."""
    taken = [f"{name}={shown(name)}" for name in COMPILED]
    done = podway(*ARGUMENTS, "--no-compile", "--assume", *taken)
    assert done.returncode == 0, done.stderr
    for said, printed in zip(SAID.splitlines(), done.stdout.splitlines(), strict=True):
        if not said.strip().startswith(COMPILED):
            words = zip(said.split(), printed.split(), strict=True)
            assert all(alike(*pair) for pair in words), (said, printed)


@pytest.mark.extensive
def test_the_page_is_what_the_command_prints():
    """Compiling takes some three minutes of a core."""
    done = subprocess.run(
        [sys.executable, "-m", "podway.launch.cli", *ARGUMENTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == SAID


def test_the_total_of_the_faster_server_is_what_the_command_says():
    said = r"`(--qps-per-core \d+)`\s+instead, the total is ([\d,]+) USD"
    ((flags, total),) = re.findall(said, PAGE)
    taken = [f"{name}={shown(name)}" for name in COMPILED]
    done = podway(*ARGUMENTS, *flags.split(), "--no-compile", "--assume", *taken)
    assert f"\ntotal: {total} USD a month" in done.stdout


def test_the_page_asks_for_what_it_says():
    assert "--users 300e6" in COMMAND
    assert "--requests-per-second 100e3" in COMMAND


def test_what_it_calls_measured_stands_in_the_results():
    results = (ROOT / "docs" / "results.md").read_text()
    sources = " ".join(figure.source for figure in (*defaults.MEASURED, *defaults.SERVICES))
    for said, there in (
        ("0.71 M rows/s", "0.71 M rows/s"),
        ("1,826 QPS", "1,826 QPS"),
        ("4.9 ms a request", "| 8 | 4.9 |"),
        ("9,300 events a second of CPU", "9,300 events a second of CPU"),
        ("0.82 to 0.85 ms", "0.82 to 0.85 ms"),
        ("192,000 events per CPU second", "192,000 events per CPU second"),
        ("317 B for 20 events", "317 B for 20 events"),
        ("488 B in Redis", "488 B in Redis"),
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
