"""What every store keeps to, in memory, in a file, and in real servers."""

import dataclasses
import json
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from podway.framework import codec
from podway.framework.config import online as config
from podway.online.error import StoreError
from podway.online.store.memory import MemoryStore
from podway.online.store.open import open_store, opened
from podway.online.store.store import FEATURES, HISTORY, STATE, Change, Value
from tests.online.store import adder


def contents(values: list[Value | None]) -> list[bytes | None]:
    return [value and value.content for value in values]


def test_batches_in_the_order_of_the_keys(store):
    store.write(HISTORY, {"u1": b"one", "u2": b"two", "ü 3/#:": b"\0\xff"})
    keys = ["u2", "nobody", "ü 3/#:", "u1", "u2"]
    assert contents(store.read(HISTORY, keys)) == [b"two", None, b"\0\xff", b"one", b"two"]
    assert contents(store.read(FEATURES, keys)) == [None] * 5  # another kind, other values
    assert store.read(HISTORY, []) == []
    store.write(HISTORY, {})
    store.write(HISTORY, {"u1": b""})
    store.delete(HISTORY, ["u2", "nobody"])
    store.delete(HISTORY, [])
    assert contents(store.read(HISTORY, ["u1", "u2"])) == [b"", None]


def test_many_at_once(store):
    values = {f"u{at}": b"%d" % at for at in range(2500)}
    store.write(HISTORY, values)
    assert contents(store.read(HISTORY, list(values))) == list(values.values())
    store.delete(HISTORY, list(values))
    assert contents(store.read(HISTORY, list(values))) == [None] * 2500


def test_large_values(store):
    large = bytes(range(256)) * 8192  # 2 MiB
    store.write(STATE, {"large": large})
    (value,) = store.read(STATE, ["large"])
    assert value.content == large
    assert store.compare_and_set(STATE, [Change("large", large[::-1], value.version)]) == [True]
    assert contents(store.read(STATE, ["large"])) == [large[::-1]]


def test_compare_and_set_says_of_each_whether_it_was_as_read(store):
    assert store.compare_and_set(STATE, []) == []
    store.write(STATE, {"a": b"1", "b": b"1"})
    a, b = store.read(STATE, ["a", "b"])
    assert a.version != b.version
    store.write(STATE, {"b": b"1"})  # the same content is another version
    changes = [
        Change("a", b"2", a.version),
        Change("b", b"2", b.version),
        Change("a new one", b"2", None),
        Change("gone", b"2", a.version),
    ]
    assert store.compare_and_set(STATE, changes) == [True, False, True, False]
    keys = [change.key for change in changes]
    assert contents(store.read(STATE, keys)) == [b"2", b"1", b"2", None]
    assert store.compare_and_set(STATE, [changes[0], changes[2]]) == [False, False]


def test_a_version_never_comes_back(store):
    """Who read a value that was then deleted does not write over the next one of its name."""
    seen = set()
    for _ in range(20):
        store.write(STATE, {"a": b"1"})
        (value,) = store.read(STATE, ["a"])
        seen.add(value.version)
        store.delete(STATE, ["a"])
    assert len(seen) == 20
    store.write(STATE, {"a": b"1"})
    changes = [Change("a", b"2", version) for version in seen]
    assert not any(store.compare_and_set(STATE, [change])[0] for change in changes)


def test_values_expire(store):
    store.write(STATE, {"a": b"1", "b": b"1"}, ttl=0.4)
    store.write(STATE, {"c": b"1"}, ttl=100)
    store.write(STATE, {"b": b"2"})  # written anew without an end
    (old,) = store.read(STATE, ["a"])
    assert store.compare_and_set(STATE, [Change("d", b"1", None)], ttl=0.4) == [True]
    time.sleep(0.6)
    assert contents(store.read(STATE, ["a", "b", "c", "d"])) == [None, b"2", b"1", None]
    # As if it had never been there.
    assert store.compare_and_set(STATE, [Change("a", b"3", old.version)]) == [False]
    changes = [Change("a", b"3", None), Change("c", b"3", None)]
    assert store.compare_and_set(STATE, changes) == [True, False]
    assert contents(store.read(STATE, ["a"])) == [b"3"]


def test_no_addition_of_several_processes_is_lost(chosen):
    told = json.dumps(codec.to_json(config.Online(store=chosen)))
    keys = ["shared", "too"]
    command = [sys.executable, "-m", "tests.online.store.adder", told, "20", ",".join(keys)]
    root = pathlib.Path(__file__).parents[3]
    open_store(chosen, "", "").close()
    others = [subprocess.Popen(command, cwd=root) for _ in range(2)]
    with opened(chosen, "", "") as store:
        adder.add(store, keys, 20)
        assert [other.wait(120) for other in others] == [0, 0]
        assert contents(store.read(STATE, keys)) == [b"60", b"60"]


def test_no_addition_of_several_threads_is_lost(store):
    done: list[int] = []

    def add() -> None:
        adder.add(store, ["shared"], 20)
        done.append(1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 4
    assert contents(store.read(STATE, ["shared"])) == [b"80"]


def test_it_is_there_after_it_was_closed(chosen):
    with opened(chosen, "", "") as store:
        store.write(HISTORY, {"u": b"1"})
    with opened(chosen, "", "") as store:
        assert contents(store.read(HISTORY, ["u"])) == [b"1"]
    if not isinstance(chosen, config.SqliteStore):
        return
    with pytest.raises(StoreError, match=r"is closed"):
        store.read(HISTORY, ["u"])


def test_a_newer_format_is_refused(chosen, monkeypatch):
    for module in ("store", "sqlite", "redis", "postgres", "bigtable"):
        monkeypatch.setattr(f"podway.online.store.{module}.FORMAT", 2)
    open_store(chosen, "", "").close()
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"format 2, and this Podway reads and writes format 1"):
        open_store(chosen, "", "")


def test_memory_expires_and_closes():
    store = MemoryStore()
    store.close()
    for use in (lambda: store.read(STATE, ["a"]), lambda: store.write(STATE, {"a": b""})):
        with pytest.raises(StoreError, match=r"closed"):
            use()


@dataclasses.dataclass(frozen=True)
class Elsewhere(config.Store):
    """A store that nobody knows."""


def test_an_unknown_kind_is_no_store():
    with pytest.raises(TypeError, match=r"no such store"):
        open_store(Elsewhere(), "", "")
