"""`podway recommend` and `podway predict`, as a user types them."""

import json

import pyarrow.parquet as pq
import pytest

from tests.launch import world
from tests.launch.test_cli import podway


@pytest.fixture(scope="module")
def workdir(shop, folder) -> str:
    return str(folder / "w")


def test_a_history_is_answered_with_titles(run, workdir):
    first, second = run.items[:2]
    typed = [("--history", f"{first},{second}"), ("--history", first, second)]
    options = ("--k", "3", "--workdir", workdir)
    printed = [podway("recommend", "shop", *each, *options) for each in typed]
    assert printed[0].stdout == printed[1].stdout
    (found,) = run.recommend([[first, second]], k=3)
    lines = [line.split(maxsplit=3) for line in printed[0].stdout.splitlines()[1:]]
    assert lines == [
        [str(rank), each.item, f"{each.score:.4f}", *filter(None, [world.title(each.item)])]
        for rank, each in enumerate(found, 1)
    ]


def test_a_user_is_shown_with_what_was_had_last(run, workdir):
    user = run.users[0]
    options = ("--user", user, "--k", "2", "--workdir", workdir)
    done = podway("recommend", "shop", *options)
    events = [item for name, item, _ in sorted(world.events(), key=lambda e: e[2]) if name == user]
    assert f"user {user} had {len(events) - 1} items, at last:" in done.stdout
    last = events[-2] if events[-2] in run.items else "an item that the model lacks"
    assert done.stdout.split("\n\n")[0].splitlines()[-1].startswith(f"  {last}")
    seen = podway("recommend", "shop", *options, "--with-targets").stdout
    assert f"user {user} had {len(events)} items, at last:" in seen
    of_run = podway("recommend", "shop", *options, "--run", "latest").stdout
    assert of_run == done.stdout


def test_json_is_for_programs_and_notes_go_elsewhere(run, workdir):
    options = ("--history", run.items[0], "strange", "--k", "2", "--deny", run.items[1], "--json")
    done = podway("recommend", "shop", *options, "--workdir", workdir)
    (answer,) = json.loads(done.stdout)
    assert [set(each) for each in answer["items"]] == [{"item", "score", "title"}] * 2
    assert run.items[1] not in [each["item"] for each in answer["items"]]
    assert "note: 1 of 2 items, in 1 of 1 histories, are unknown to the model" in done.stderr


def test_everybody_goes_to_a_file(run, workdir, tmp_path):
    output = tmp_path / "x.parquet"
    options = ("--k", "3", "--output", str(output), "--workdir", workdir)
    done = podway("predict", "shop", *options)
    assert done.returncode == 0, done.stderr
    assert f"{output}: " in done.stdout
    assert f"predict: {len(run.users)}/{len(run.users)} users" in done.stderr
    table = pq.read_table(output)
    assert set(table["user"].to_pylist()) == set(run.users)
    assert "up to date" in podway("predict", "shop", *options).stdout
    some = tmp_path / "users.txt"
    some.write_text("\n".join(run.users[4:7]) + "\n")
    options = ("--users", str(some), "--run", "latest", "--output", str(tmp_path / "y.parquet"))
    done = podway("predict", "shop", *options, "--workdir", workdir)
    assert done.returncode == 0, done.stderr
    few = pq.read_table(tmp_path / "y.parquet")
    assert list(dict.fromkeys(few["user"].to_pylist())) == list(run.users[4:7])
    file = tmp_path / "h.jsonl"
    file.write_text('{"user": 1, "history": ["i1"]}\n{"user": 2, "history": ["?"]}\n')
    options = ("--histories", str(file), "--output", str(tmp_path / "z.parquet"))
    done = podway("predict", "shop", *options, "--workdir", workdir)
    assert "1 histories have no item that the model knows, and no row" in done.stdout
    assert set(pq.read_table(tmp_path / "z.parquet")["user"].to_pylist()) == {"1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommend", "shop"], "give either --history, item ids, or --user"),
        (["recommend", "shop", "--user", "zz"], "1 of 1 users are not in the dataset"),
        (["recommend", "shop", "--history", "zz"], "none of the 1 items of history 0 is known"),
        (["recommend", "shp", "--history", "i1"], "'shp' has no published model and no finished"),
        (["predict", "shop"], "--output is ''; give a folder, local or on gs://, or a"),
        (["predict", "shop", "--output", "gs://b/x.parquet"], "or a local file that ends in"),
        (["predict", "shop", "--output", "/nowhere/x.parquet"], "there is no folder /nowhere"),
        (
            ["predict", "shop", "--output", "x.parquet", "--users", "nowhere.txt"],
            "--users nowhere.txt: there is no such file; give all, or a file of ids",
        ),
        (
            ["predict", "shop", "--output", "x.parquet", "--users", "all", "--histories", "h"],
            "give either --users or --histories",
        ),
    ],
)
def test_what_cannot_be_done_is_one_clear_sentence(workdir, arguments, message):
    done = podway(*arguments, "--workdir", workdir)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
