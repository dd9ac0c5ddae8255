"""Fixtures for all rooms."""

from collections.abc import Iterator

import pytest

from framework import libtpu
from tests import gcs

libtpu.prepare()


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
