"""Files with other bytes give rows, in order and once, or an error that names the file."""

import subprocess
import sys

import pytest

from tests.beam.formats import mutated
from tests.test_walls import ROOT


def problems(kind: str, seed: int, count: int) -> list[str]:
    command = [sys.executable, "-m", "tests.beam.formats.mutated", kind, str(seed), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=550)
    last = done.stderr.splitlines()[-1:]
    assert done.returncode == 0, (done.returncode, last, done.stderr[-2000:])
    *found, read = done.stdout.splitlines()
    assert read == f"{count} files"
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", mutated.KINDS)
def test_a_thousand_files_of_a_kind(kind):
    assert problems(kind, 0, 1000) == []


@pytest.mark.extensive
@pytest.mark.parametrize("kind", mutated.KINDS)
def test_a_hundred_thousand_files_of_all_kinds(kind):
    assert problems(kind, 10**6, 8000) == []


FOUND = [
    ("csv.zip", 246),  # zlib's error
    ("parquet", 140),  # an index of a dictionary that is beyond it
    ("idx", 239),  # more pixels than there is memory
    ("idx", 298),  # images of no pixels
]
"""What was none of both once."""


@pytest.mark.parametrize(("kind", "seed"), FOUND)
def test_what_was_found(kind, seed, tmp_path):
    if kind == "idx":
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(mutated.LABELS)
    assert mutated.problem(kind, seed, tmp_path) == ""
