"""docs/capacity.md: what stands there is what the command prints, and its price file is one."""

import pathlib
import re
import shlex

from podway.launch.plan import defaults
from podway.launch.prices import book
from tests.launch.test_cli import podway

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "capacity.md").read_text()
COMMAND, SAID = re.findall(
    r"^```sh\n(podway plan [^`]*)^```\n\n```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
)[0]
ARGUMENTS = shlex.split(COMMAND.replace("\\\n", ""))[1:]


def test_the_page_is_what_the_command_prints():
    done = podway(*ARGUMENTS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == SAID


def test_the_total_of_the_faster_server_is_what_the_command_says():
    (flags, total) = re.findall(
        r"`(--qps-per-core \d+)` instead, the total is\n([\d,]+) USD", PAGE
    )[0]
    done = podway(*ARGUMENTS, *flags.split())
    assert f"\ntotal: {total} USD a month" in done.stdout


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
