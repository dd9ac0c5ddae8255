"""Images, each built once in a run of the tests."""

import functools
from collections.abc import Callable

import pytest

from tests.images import engine


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> Callable[[str], str]:
    """By its name, the tag of an image of this checkout; skips where none can be built."""
    if why := engine.missing():
        pytest.skip(f"no image is built: {why}")
    engine.make_base(tmp_path_factory.mktemp("base"))
    return functools.cache(lambda name: engine.build(name, tmp_path_factory.mktemp("build")))
