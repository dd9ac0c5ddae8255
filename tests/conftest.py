"""Fixtures for all rooms."""

from collections.abc import Iterator

import pytest

from tests import gcs


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
