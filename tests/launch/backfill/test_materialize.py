"""`podway features materialize`: histories of a dataset, beside what comes by the queue."""

import dataclasses
import json

import pytest

from podway.beam import dataset as beam_dataset
from podway.framework.config import online as config
from podway.launch import cli
from podway.launch.backfill import dataset as source
from podway.online.backfill import materialize
from podway.online.store import history as histories
from podway.online.store.history import Entry
from podway.online.store.memory import MemoryStore
from podway.online.store.open import opened
from podway.online.store.store import HISTORY, ITEM, STATE
from tests.launch import world
from tests.online.nearline.doubles import Killed, Mortal
from tests.online.store.conftest import content

NEARLINE = config.Nearline()


def expected() -> dict[str, list[str]]:
    found: dict[str, list[tuple[int, str]]] = {}
    for user, item, time in world.events():
        found.setdefault(user, []).append((time, item))
    return {user: [item for _, item in sorted(rows)] for user, rows in found.items()}


def held(store, users) -> dict[str, list[str]]:
    values = store.read(HISTORY, list(users))
    return {
        user: histories.unpack(value.content).items
        for user, value in zip(users, values, strict=True)
        if value
    }


def fill(store, directory, users=10, **more) -> materialize.Filled:
    progress = materialize.Progress(store, "x")
    parts = source.parts(directory, 200, users)
    return materialize.fill(store, parts, progress, NEARLINE, "keep", **more)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of raw events, and in w/ the dataset of them."""
    path = tmp_path_factory.mktemp("shop")
    world.write(path)
    beam_dataset.build(world.shop(path).data, path / "w")
    return path


@pytest.fixture(scope="module")
def directory(place) -> str:
    [found] = (place / "w/datasets/shop").glob("[!_]*")
    return str(found)


def test_the_command(place, tmp_path, capsys):
    """All users and items of the dataset are in the store, of which k-core and vocabulary leave out
    some; a second time there is nothing to do."""
    path = tmp_path / "store.sqlite"
    experiment = tmp_path / "shop.py"
    experiment.write_text(
        "import dataclasses, pathlib\nfrom podway.framework.config import online\n"
        "from tests.launch import world\n"
        f"def experiment():\n    shop = world.shop(pathlib.Path({str(place)!r}))\n"
        f"    store = online.SqliteStore(path={str(path)!r})\n"
        "    return dataclasses.replace(shop, online=online.Online(store=store))\n"
    )
    command = ["features", "materialize", str(experiment), "--workdir", str(place / "w")]
    cli.main(command)
    said = capsys.readouterr().out
    assert (
        "materialize: 70 users, of whom 70 have another history now; attributes of 26 items" in said
    )
    with opened(config.SqliteStore(path=str(path)), "", "") as store:
        assert held(store, expected()) == expected()
        assert json.loads(content(store, ITEM, "i2")) == {"title": world.title("i2")}
        assert json.loads(content(store, ITEM, "i3")) == {}
        assert store.read(ITEM, ["nothing"]) == [None]
    cli.main(command)
    said = capsys.readouterr().out
    assert "materialize: 0 users" in said
    assert "3 parts were there already" in said
    cli.main([*command, "--again"])
    said = capsys.readouterr().out
    assert "materialize: 70 users, of whom 0 have another history now" in said


@pytest.mark.parametrize("write", range(1, 16, 2))
def test_killed_it_goes_on_with_the_part_that_was_under_way(write, directory):
    store = MemoryStore()
    told: list[int] = []
    with pytest.raises(Killed):
        fill(Mortal(store, write, after=True), directory)
    done = len(materialize.Progress(store, "x").done())
    assert done == write // 2
    found = fill(store, directory, advance=told.append)
    assert found.skipped == done
    assert held(store, expected()) == expected()
    assert sum(told) == source.events(directory) == len(world.events())


def test_what_came_by_the_queue_stays(directory):
    store = MemoryStore()
    user, items = next(iter(expected().items()))
    mine = sorted((time, item) for who, item, time in world.events() if who == user)
    later = Entry(2_000_000_000_000_000, "new", "play", 7)
    same = Entry(mine[0][0] * 1_000_000, mine[0][1], "play", 8)
    store.write(HISTORY, {user: histories.pack(histories.merge(histories.EMPTY, [later, same], 9))})
    fill(store, directory)
    history = histories.unpack(content(store, HISTORY, user))
    assert history.items == [*items, "new"]
    assert same in history.entries  # which the dataset has without a mark


def test_what_the_store_cannot_be_filled_with_is_named(place, directory):
    data = world.data(place)
    rows = dataclasses.replace(data, columns=dataclasses.replace(data.columns, time=None))
    with pytest.raises(
        ValueError, match=r"data.columns has no time, and a history has items, each"
    ):
        source.check_histories(rows, directory)
    store = MemoryStore()
    store.write(STATE, {"materialize/x": b'{"format": 2, "done": []}'})
    with pytest.raises(Exception, match=r"format 2, and this Podway reads format 1: upgrade"):
        fill(store, directory)
