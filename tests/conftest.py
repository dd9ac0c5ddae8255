"""Fixtures for all rooms."""

from collections.abc import Iterator

import pytest

from framework import libtpu
from tests import gcs

libtpu.prepare()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a module's fixture go to one worker, so that only one of them makes it."""
    for item in items:
        assert isinstance(item, pytest.Function)
        made = item._fixtureinfo.name2fixturedefs.values()
        if any(each[-1].scope == "module" for each in made):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


@pytest.fixture(scope="session")
def beam_store() -> Iterator[gcs.Store]:
    """gs:// that Beam can use."""
    with gcs.for_beam() as store:
        yield store


@pytest.fixture(scope="session")
def strict_store() -> Iterator[gcs.Store]:
    """gs:// that keeps preconditions."""
    with gcs.strict() as store:
        yield store
