import os

import pytest

from podway.framework.artifact.files import stat


def test_size_and_time(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"123")
    os.utime(path, (5, 7.9))
    assert stat(path) == stat(str(path)) == (3, 7)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file away")
def test_a_file_whose_owner_has_no_name(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"123")
    os.chown(path, 54_321, 54_321)
    assert stat(path).length == 3


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        stat(tmp_path / "a")
