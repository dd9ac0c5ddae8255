"""Where raw files are found."""

import pathlib

import pytest

from podway.beam.error import DataError
from podway.beam.formats import source
from podway.framework.config import Data, Parquet


def test_a_file_of_a_package():
    (found,) = source.find(Data("e", "package://pyarrow/include/arrow/api.h", format=Parquet()))
    assert pathlib.Path(found).is_file()


def test_a_package_that_is_not_installed_is_named_with_what_to_do():
    with pytest.raises(DataError, match="the package 'shop_data', which is not installed; install"):
        source.find(Data("e", "package://shop_data/events.parquet", format=Parquet()))
