"""Files that are written once: of many writers one succeeds, and nobody sees a part."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

import pytest

from podway.framework import artifact

WRITE = """
import os, sys
from podway.framework import artifact
print(artifact.create(sys.argv[1], os.urandom(8) * 500_000), flush=True)
"""


def test_it_is_written_once(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    assert artifact.create(path, b"first")
    assert not artifact.create(path, b"second")
    assert path.read_bytes() == b"first"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_of_many_writers_one_succeeds(tmp_path):
    path = tmp_path / "new" / "file"
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        done = list(threads.map(lambda n: artifact.create(path, bytes([n]) * 9999), range(32)))
    assert done.count(True) == 1
    assert path.read_bytes() == bytes([done.index(True)]) * 9999


def test_a_killed_writer_leaves_the_whole_or_nothing_that_is_read(tmp_path):
    path = tmp_path / "file"
    for delay in (0.0, 0.01, 0.03):
        writer = subprocess.Popen([sys.executable, "-c", WRITE, str(path)])
        while not (found := list(tmp_path.iterdir())) and writer.poll() is None:
            time.sleep(0.001)
        time.sleep(delay)
        writer.kill()
        writer.wait()
        found = [each for each in tmp_path.iterdir() if not each.name.startswith(".")]
        assert [each.stat().st_size for each in found] in ([], [4_000_000])
        for each in tmp_path.iterdir():
            each.unlink()


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        artifact.create(tmp_path / "file" / "below", b"x")
    with pytest.raises(OSError, match="local folders and to gs://"):
        artifact.create("s3://bucket/x", b"x")


def test_the_disk_knows_file_and_folders_before_it_returns(tmp_path, monkeypatch):
    synced: list[str] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    artifact.create(tmp_path / "a" / "b" / "file", b"x")
    names = [pathlib.Path(each).name.partition("-")[0] for each in synced]
    assert names == [tmp_path.name.partition("-")[0], "a", ".file", "b"]


def test_on_gs_it_is_written_once(strict_store):
    path = f"{strict_store.bucket()}/landed/file"
    code = "import sys; from podway.framework import artifact as a; print(a.create(*sys.argv[1:]))"
    code = code.replace("*sys.argv[1:]", "sys.argv[1], sys.argv[2].encode()")
    said = [strict_store.run("-c", code, path, text).stdout.strip() for text in ("a", "b", "a")]
    assert said == ["True", "False", "True"]  # the same content is this call's own, arrived twice
