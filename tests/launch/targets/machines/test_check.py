"""Each check's error, once."""

import copy
import re

import pytest

from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import check
from podway.launch.targets.machines.check import Facts
from tests.launch.targets.machines.conftest import a_launch

MINE = {"podway": "1", "code": {"run": "abc"}}
THEIRS = {**MINE, "packages": {"jax": "0.10"}, "exports": True, "raw": {"files": "123"}}
GOOD = {
    "time": 0.0,
    "name": "b",
    "python": [3, 12, 1],
    "alive": False,
    "home": "",
    "workdir": "",
    "identity": THEIRS,
    "accelerators": 0,
    "others": [],
    "ends_at_logout": False,
}


def problems(second: dict | None, error="", ahead=0.0, install=False, **fields) -> list[str]:
    """Of two hosts, of which the first is as it should be."""
    launch = a_launch(**fields)
    first, other = (each for each in launch.processes if each.local == 0)
    found = [Facts(first, GOOD), Facts(other, second, error, ahead)]
    return list(check.of(launch, found, MINE, install=install))


def changed(path: str, value) -> dict:
    """GOOD with another value at a path of keys."""
    found = copy.deepcopy(GOOD)
    *above, last = path.split(".")
    place = found
    for name in above:
        place = place[name]
    place[last] = value
    return found


def test_nothing_is_wrong_with_good_hosts():
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("alive", True, "b: a process of movielens-sasrec-.* runs there already"),
        ("home", "No space left on device", "~/.podway/launches cannot be written: No space"),
        ("workdir", "Permission denied", "the workdir /shared/w cannot be written: Permission"),
        ("ends_at_logout", True, "loginctl enable-linger"),
        ("identity", {"error": "No module named podway"}, "b: python3 misses a package .*install"),
        ("identity", {"error": "KeyError: x"}, "b: Podway there cannot read the experiment: Key"),
        ("identity.podway", "2", "b: Podway 2 is installed there, and 1 here; install the same"),
        ("identity.code", {"run": "x"}, r"b: the code there is not the code here.*run.*commit"),
        ("identity.packages", {"jax": "0.9"}, r"b: other packages than on a: .*jax"),
        ("identity.raw", {"files": "456"}, "b: it sees other raw files than a"),
        ("identity.raw", {"error": "data.path is '/x' and no file is there"}, "b: data.path is"),
    ],
)
def test_what_is_wrong_with_a_host_is_said(path, value, message):
    (found,) = problems(changed(path, value))
    assert re.search(message, found), found


def test_a_host_that_is_not_reached():
    assert problems(None, error="b: Connection refused") == ["b: Connection refused"]


def test_an_old_python_says_nothing_more():
    (found,) = problems({"python": [3, 9, 2]})
    assert "python3 is Python 3.9.2; Podway needs 3.11 or later" in found


def test_clocks_that_differ():
    (found,) = problems(GOOD, ahead=-42.4)
    assert found == "b: its clock is 42 s behind that of a; set both by NTP"
    assert problems(GOOD, ahead=9) == []


def test_accelerators_are_enough_and_free():
    several = {"processes_per_host": 2}
    first = "a: 4 GPUs are wanted"
    found = problems(changed("accelerators", 2), gpus_per_process=2, **several)
    assert [each[: len(first)] for each in found] == [first, first.replace("a", "b", 1)]
    (found,) = problems(changed("accelerators", 2), **several)
    assert "would all take the same 2 accelerators; give target.gpus_per_process" in found
    busy = changed("accelerators", 2) | {"others": ["other-1"]}
    (found,) = problems(busy)
    assert "b: other-1 runs there, on the same accelerators" in found
    assert problems(changed("others", ["other-1"])) == []


def test_the_first_host_alone_exports():
    launch = a_launch()
    first, other = launch.processes
    lacks = changed("identity.exports", False)
    assert problems(lacks) == []
    (found,) = check.of(launch, [Facts(first, lacks), Facts(other, lacks)], MINE, install=False)
    assert "a: tensorflow is not installed" in found
    trains = a_launch(export=False)
    assert not list(check.of(trains, [Facts(first, lacks)], MINE, install=False))


def test_what_will_be_installed_is_not_missed():
    assert problems(changed("identity", {"error": "No module named podway"}), install=True) == []
    assert problems(changed("workdir", "etils is not installed"), install=True) == []


def test_all_problems_are_said_at_once():
    bad = changed("workdir", "Permission denied") | {"home": "Read-only file system"}
    assert len(problems(bad, ahead=100)) == 3


JOINED = {"sees": True, "reached": True, "error": ""}


@pytest.mark.parametrize(
    ("said", "taken", "messages"),
    [
        (JOINED, "", []),
        (
            JOINED | {"sees": False},
            "",
            ["b: it does not see what a writes to /shared/w; give a --workdir that all hosts"],
        ),
        (
            JOINED | {"reached": False, "error": "Connection refused"},
            "",
            [r"b: it does not reach 10.0.0.1:6002 of a \(Connection refused\); open the port"],
        ),
        (
            JOINED | {"reached": False},
            "Address already in use",
            [r"a: port 6002 cannot be used \(Address already in use\); give another --target"],
        ),
        (LaunchError("b: no answer"), "", ["b: no answer"]),
    ],
)
def test_what_keeps_hosts_apart(said, taken, messages):
    launch = a_launch()
    found = list(check._apart(launch, launch.processes, [said], "10.0.0.1", taken))
    assert len(found) == len(messages)
    for text, message in zip(found, messages, strict=True):
        assert re.search(message, text), text
