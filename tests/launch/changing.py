"""Fixtures `folder` and `shop` of a world in which tests make further runs and versions.

Tests elsewhere count on the latest run, and on which versions there are. A package whose tests make
more imports these into its conftest.
"""

import pathlib

import pytest

import podway


@pytest.fixture(scope="session")
def folder(changing_folder) -> pathlib.Path:
    return changing_folder


@pytest.fixture(scope="session")
def shop(changing_shop) -> podway.Result:
    return changing_shop
