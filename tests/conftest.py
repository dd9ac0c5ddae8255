"""Fixtures for all rooms."""

import functools
import gc
import itertools
import os
import pathlib
from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from podway.framework.devices import libtpu
from tests import cost, gcs, xla

libtpu.prepare()
os.environ |= {  # before JAX is imported: what one test has compiled, others need not
    "XLA_FLAGS": xla.QUICK,
    "JAX_COMPILATION_CACHE_DIR": str(pathlib.Path(__file__).parents[1] / ".pytest_cache/compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


class _Scheduling(LoadScopeScheduling):
    """Tests of a module that makes something for all of them go to one worker; others are free."""

    def __init__(self, config: pytest.Config, log: Producer | None = None):
        super().__init__(config, log)
        self._shares = functools.cache(
            lambda path: 'scope="module"' in (config.rootpath / path).read_text()
        )

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if self._shares(path) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Scheduling:
    return _Scheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    if file := os.environ.get("PODWAY_TEST_CPU"):
        config.pluginmanager.register(cost.Cost(file))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Collects a module's garbage behind it.

    Orbax's forgotten tasks log their errors when they are collected; where that happens inside
    `ast.parse`, whose source the log's traceback then parses, CPython 3.11 raises SystemError.
    """
    if nextitem is None or nextitem.path != item.path:
        _collect()


def pytest_collection_finish() -> None:
    # JAX traces by many small objects: of 700, Python's own limit, hardly one is garbage then.
    gc.set_threshold(100_000, 50, 50)
    _collect()


_COLLECTED = itertools.count(1)


def _collect() -> None:
    """What is alive now is seldom looked at again: a million objects of modules and of tests, half
    a second each time. What has died of it meanwhile goes every twentieth time."""
    if next(_COLLECTED) % 20 == 0:
        gc.unfreeze()
    gc.collect()
    gc.freeze()


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
