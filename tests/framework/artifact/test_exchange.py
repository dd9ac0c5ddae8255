"""Small files that several processes change: every change is made once, on what was there."""

import subprocess
import sys

import pytest

from podway.framework import artifact

TIMES = 40
COUNT = f"""
import sys
from podway.framework import artifact
for _ in range({TIMES}):
    artifact.exchange(sys.argv[1], lambda text: str(int(text or 0) + 1))
"""
REMOVE = f"""
import sys
from podway.framework import artifact
for _ in range({TIMES}):
    left = []
    def change(text):
        left[:] = [int(text or 0)]
        return "" if text else None
    artifact.exchange(sys.argv[1], change)
    print(*left)
"""


def test_no_change_is_lost_among_processes(tmp_path):
    """One of them takes what is there and removes the file: that and what is left add up."""
    path = tmp_path / "runs" / "count"
    command = [sys.executable, "-c"]
    counting = [subprocess.Popen([*command, COUNT, str(path)]) for _ in range(3)]
    taking = subprocess.run([*command, REMOVE, str(path)], capture_output=True, text=True)
    assert [process.wait() for process in counting] == [0, 0, 0]
    assert taking.returncode == 0, taking.stderr
    left = []
    artifact.exchange(path, lambda text: left.append(int(text or 0)))
    assert sum(map(int, taking.stdout.split())) + left[0] == 3 * TIMES


def test_what_is_left_alone_and_what_is_removed(tmp_path):
    path = tmp_path / "file"
    artifact.exchange(path, lambda text: None)
    assert not path.exists(), "looking makes no file"
    artifact.exchange(path, lambda text: text + "a longer text")
    artifact.exchange(path, lambda text: text[:3])
    assert path.read_text() == "a l"
    artifact.exchange(path, lambda text: None)
    assert path.read_text() == "a l"
    artifact.exchange(path, lambda text: "")
    assert not path.exists()


@pytest.mark.parametrize("times", [8])
def test_no_change_is_lost_on_gs(strict_store, times):
    path = f"{strict_store.bucket()}/runs/count"
    program = COUNT.replace(str(TIMES), str(times))
    counting = [strict_store.start("-c", program, path) for _ in range(3)]
    for process in counting:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    (blob,) = strict_store.client().list_blobs(path.split("/")[2])
    assert int(blob.download_as_text()) == 3 * times
    found = strict_store.run(
        "-c",
        "import sys; from podway.framework import artifact\n"
        "artifact.exchange(sys.argv[1], lambda text: '')\n"
        "artifact.exchange(sys.argv[1], lambda text: print(repr(text)))\n"
        "artifact.exchange('gs://no-such-bucket/a', lambda text: 'text')",
        path,
    )
    assert found.stdout.strip() == "''"
    assert "OSError: Google Cloud Storage: 404" in found.stderr
