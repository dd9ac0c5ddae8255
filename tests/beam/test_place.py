"""Datasets by their version, and raw files that are left out."""

import dataclasses
import shutil

import pytest

from podway.beam import dataset, place
from podway.beam.error import DataError
from podway.framework.error import ConfigError
from tests.beam.extending import Workplace

DAY = [(user, item, at) for user in "pqr" for at, item in enumerate("abca")]


def test_excluded_files_are_not_read_and_however_they_are_named_the_version_is_the_same(tmp_path):
    work = Workplace(tmp_path, shards=1)
    first = work.add("1.csv", DAY)
    alone = work.build()
    work.add("2.csv", [("s", "z", at) for at in range(4)])
    for pattern in (str(tmp_path / "raw" / "2.csv"), "2.csv", "[2-9].*"):
        data = dataclasses.replace(work.data, exclude=(pattern,))
        assert place.directory(data, work.workdir) == alone
    assert place.directory(work.data, work.workdir) != alone
    shutil.copy(first, tmp_path / "raw" / "[2].csv")  # brackets in a path
    data = dataclasses.replace(
        work.data, exclude=(str(tmp_path / "raw" / "[2].csv"), str(tmp_path / "raw" / "2.csv"))
    )
    assert place.directory(data, work.workdir) == alone


def test_an_exclusion_that_names_nothing_or_all_is_refused(tmp_path):
    work = Workplace(tmp_path, shards=1)
    work.add("day-1.csv", DAY)
    for pattern, message in (
        (
            "dya-1.csv",
            r"data.exclude has 'dya-1.csv', which names none of the 1 raw files, such as",
        ),
        ("*", r"data.exclude \['\*'\] leaves none of 1 raw files"),
    ):
        with pytest.raises(DataError, match=message):
            place.directory(dataclasses.replace(work.data, exclude=(pattern,)), work.workdir)


def test_an_extension_passes_over_excluded_files_and_a_later_one_reads_them(tmp_path):
    work = Workplace(tmp_path, shards=1)
    work.add("1.csv", DAY)
    base = work.build()
    work.add("2.csv", [("s", "z", at) for at in range(4)])
    work.add("3.csv", [("t", "b", at) for at in range(4)])
    without = dataclasses.replace(work.data, exclude=("2.csv",))
    extended, fresh = dataset.extend(without, work.workdir, base.name)
    assert fresh
    assert place.directory(without, work.workdir) == extended
    assert dataset.extend(work.data, work.workdir, extended.name)[1]


def test_a_version_is_taken_as_it_is(tmp_path):
    work = Workplace(tmp_path, shards=1)
    work.add("1.csv", DAY)
    base = work.build()
    work.add("2.csv", DAY[:4])
    data = dataclasses.replace(work.data, version=base.name)
    assert place.directory(data, work.workdir) == base
    assert dataset.build(data, work.workdir) == base
    with pytest.raises(DataError, match=rf"data.version is 'x' and .* it has \['{base.name}'\]"):
        place.directory(dataclasses.replace(data, version="x"), work.workdir)
    with pytest.raises(ConfigError, match=r"data.min_item_events is 3 .* of data.version"):
        place.directory(dataclasses.replace(data, min_item_events=3), work.workdir)
    with pytest.raises(ConfigError, match="--since extends a dataset by new raw files, and data"):
        dataset.extend(data, work.workdir, "latest")
