"""Online stores beside each other: bytes for each user, and how long reads and writes take.

    python benchmarks/online/store.py                  # 20,000 users, 20 events each
    python benchmarks/online/store.py --users 200000 --stores sqlite,redis

Each server is started for this run, on a private port and folder; one that is missing is left out.
The baseline is the store's own client in the same run, which reads the same values without ours:
the ratio says what the protocol costs. Reads: p50 and p99 of single users, and of 100 in one round.
"""

import argparse
import contextlib
import os
import pathlib
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from podway.framework.config import online as config
from podway.online.store import history as histories
from podway.online.store.history import Entry
from podway.online.store.open import opened
from podway.online.store.store import HISTORY, Change, Store
from tests.launch.tracking import postgres
from tests.online.store import servers

START = 1_700_000_000_000_000
BATCH = 100


@contextlib.contextmanager
def sqlite(folder: pathlib.Path) -> Iterator[tuple[config.Store, Callable, Callable]]:
    path = folder / "store.sqlite"
    sqlite_file = str(path)

    def size() -> int:
        with contextlib.closing(sqlite3.connect(sqlite_file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.stat().st_size

    own: list[sqlite3.Connection] = []

    def bare(key: str) -> object:
        if not own:
            own.append(sqlite3.connect(sqlite_file))
        statement = "SELECT content FROM value WHERE kind = 'history' AND key = ?"
        return own[0].execute(statement, (key,)).fetchone()

    yield config.SqliteStore(path=sqlite_file, timeout=60.0), size, bare


@contextlib.contextmanager
def redis(folder: pathlib.Path) -> Iterator[tuple[config.Store, Callable, Callable]]:
    import redis as client

    with servers.redis() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        own = client.Redis.from_url(url)
        empty = own.info("memory")["used_memory"]  # type: ignore[index]

        def size() -> int:
            return own.info("memory")["used_memory"] - empty  # type: ignore[index]

        yield (
            config.RedisStore(url=url, timeout=60.0),
            size,
            lambda key: own.get(f"podway:history:{key}"),
        )


@contextlib.contextmanager
def postgresql(folder: pathlib.Path) -> Iterator[tuple[config.Store, Callable, Callable]]:
    import psycopg

    with postgres.server() as url, psycopg.connect(url, autocommit=True) as own:

        def size() -> int:
            row = own.execute("SELECT pg_total_relation_size('podway_store')").fetchone()
            assert row is not None
            return row[0]

        def bare(key: str) -> object:
            statement = "SELECT content FROM podway_store WHERE kind = 'history' AND key = %s"
            return own.execute(statement, (key,)).fetchone()

        yield config.PostgresStore(url=url, timeout=60.0), size, bare


@contextlib.contextmanager
def bigtable(folder: pathlib.Path) -> Iterator[tuple[config.Store, Callable, Callable]]:
    from google.cloud.bigtable import data

    with servers.bigtable() as server:
        os.environ["BIGTABLE_EMULATOR_HOST"] = f"127.0.0.1:{server.port}"
        table: list = []

        def bare(key: str) -> object:
            if not table:
                table.append(data.BigtableDataClient(project="p").get_table("i", "podway-store"))
            return table[0].read_row(f"history#{key}")

        yield config.BigtableStore("p", "i", timeout=60.0), lambda: 0, bare


STORES = {"sqlite": sqlite, "redis": redis, "postgresql": postgresql, "bigtable": bigtable}


def history(user: int, events: int, chance: random.Random) -> bytes:
    time, entries = START, []
    for at in range(events):
        time += chance.randrange(1, 100_000) * 1_000_000
        entries.append(
            Entry(time, f"i{chance.randrange(100_000)}", "play", histories.mark(f"{user}/{at}"))
        )
    return histories.pack(histories.merge(histories.EMPTY, entries, None))


def timed(does: Callable[[], object], times: int) -> tuple[float, float]:
    """p50 and p99, microseconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        does()
        found.append(time.perf_counter() - start)
    return tuple(1e6 * np.quantile(found, (0.5, 0.99)))


def measure(store: Store, users: int, events: int, reads: int) -> dict[str, float]:
    chance = random.Random(3)
    names = [f"user{at:08}" for at in range(users)]
    packed, start = 0, 0.0
    for first in range(0, users, 1000):
        mine = names[first : first + 1000]
        values = {name: history(at, events, chance) for at, name in enumerate(mine, first)}
        packed += sum(map(len, values.values()))
        begun = time.perf_counter()
        store.write(HISTORY, values)
        start += time.perf_counter() - begun

    def change() -> None:
        keys = chance.sample(names, BATCH)
        held = store.read(HISTORY, keys)
        changes = [
            Change(key, value.content, value.version)
            for key, value in zip(keys, held, strict=True)
            if value
        ]
        assert all(store.compare_and_set(HISTORY, changes))

    one = timed(lambda: store.read(HISTORY, [chance.choice(names)]), reads)
    many = timed(lambda: store.read(HISTORY, chance.sample(names, BATCH)), reads // 10)
    changed = timed(change, reads // 20)
    return {
        "packed": packed / users,
        "write": users / start,
        "one": one[0],
        "one99": one[1],
        "many": many[0],
        "many99": many[1],
        "changed": changed[0],
        "changed99": changed[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--reads", type=int, default=3000)
    parser.add_argument("--stores", default=",".join(STORES))
    options = parser.parse_args()
    print(
        f"{options.users:,} users, {options.events} events each; load {os.getloadavg()[0]:.1f};"
        f" µs: p50 / p99; {BATCH} users in a round\n"
        f"| store | packed B | B a user | users/s | read 1 | read {BATCH} |"
        f" read and change {BATCH} | read 1, bare client | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.stores.split(","):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            try:
                chosen, size, bare = stack.enter_context(STORES[name](pathlib.Path(folder)))
            except BaseException as error:
                if type(error).__name__ != "Skipped":
                    raise
                print(f"| {name} | left out: {error} |")
                continue
            store = stack.enter_context(opened(chosen, folder, "x"))
            found = measure(store, options.users, options.events, options.reads)
            chance = random.Random(4)
            own = timed(
                lambda bare=bare, c=chance: bare(f"user{c.randrange(options.users):08}"),
                options.reads,
            )
            held = round(size() / options.users) or "–"
            print(
                f"| {name} | {found['packed']:.0f} | {held} |"
                f" {found['write']:,.0f} | {found['one']:.0f} / {found['one99']:.0f} |"
                f" {found['many']:.0f} / {found['many99']:.0f} |"
                f" {found['changed']:.0f} / {found['changed99']:.0f} |"
                f" {own[0]:.0f} / {own[1]:.0f} | {found['one'] / own[0]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
