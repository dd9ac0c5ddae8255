"""What a loaded model answers: from a run and from what was published of it alike."""

import dataclasses
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

import podway
from podway.framework.comparison import evaluation as comparison
from podway.framework.evaluation import evaluator, ranks
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input.dataset import Dataset
from podway.framework.models.popularity import Popularity
from podway.framework.runs import run as runs
from podway.framework.schema.schema import SPLITS
from tests.launch import world

pytestmark = pytest.mark.usefixtures("here")
HEAVY = {"jax", "flax", "tensorflow", "apache_beam", "numpy", "pyarrow", "polars"}
LATER = HEAVY - {"numpy"}
"""What comes when a function is called."""


def test_the_import_loads_nothing_heavy_and_has_what_it_names():
    code = f"import sys, podway\nassert not {HEAVY} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = f"import sys, podway\npodway.run, podway.load\nassert not {LATER} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {name for name in podway.__all__ if getattr(podway, name)} == set(podway.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        podway.lod  # noqa: B018


@pytest.fixture(scope="module")
def here(shop, timed):
    """The tests of this module share a process, and with it the models."""


def same(one: podway.Recommendations, other: podway.Recommendations) -> None:
    assert one.items.tolist() == other.items.tolist()
    assert one.users == other.users
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5, atol=1e-5)
    assert one.attributes.keys() == other.attributes.keys()
    for name in one.attributes:
        assert one.attributes[name].tolist() == other.attributes[name].tolist()


def test_a_run_and_what_is_published_of_it_answer_alike(run, published):
    assert run.items == published.items
    users = run.users
    assert set(users) == {user for user, _, _ in world.events()}
    same(run.recommend(users=users, k=12), published.recommend(users=users, k=12))
    filters = [
        podway.Filter(run.items[at % 20 : at % 20 + 6], run.items[: at % 5])
        for at in range(len(users))
    ]
    filtered = run.recommend(users=users, k=7, filter=filters)
    same(filtered, published.recommend(users=users, k=7, filter=filters))
    for found, one in zip(filtered, filters, strict=True):
        assert {each.item for each in found} <= set(one.allow) - set(one.deny)


def test_lists_are_those_that_the_evaluation_ranked(shop, run):
    experiment, _, parameters = runs.load(shop.run)
    dataset = Dataset.open(shop.dataset)
    judged = evaluator_of(experiment.model, experiment.evaluation)
    compute = evaluator.answers(judged, dataset.schema, parameters)
    found = ranks.rank_split(compute, dataset, "test", experiment.evaluation)
    names, items = (dataset.vocabulary(name).values for name in ("user", "item"))
    blocks = dataset.blocks("test")
    read = blocks.read(np.arange(len(blocks.rows)), ["user"])["user"]
    assert isinstance(read, np.ndarray)
    users = [names[user] for user in read]
    lists = run.recommend(users=users, k=10)
    expected = [[items[item] for item in row if item] for row in found.lists]
    assert [[each.item for each in row] for row in lists] == expected
    targets = [items[item] for item in found.item]
    hits = [
        target in [each.item for each in row] for target, row in zip(targets, lists, strict=True)
    ]
    assert np.mean(hits) == pytest.approx(shop.table["SasRec"]["hr@10"]["value"])
    assert comparison.own_name(experiment) in str(shop)


def histories() -> dict[str, list[tuple[int, str]]]:
    """Events of each user by time, from the raw data."""
    found: dict[str, list[tuple[int, str]]] = {}
    for user, item, time in sorted(world.events(), key=lambda event: event[2]):
        found.setdefault(user, []).append((time, item))
    return found


@pytest.mark.filterwarnings("ignore::podway.launch.loaded.error.UnknownValues")
def test_users_are_asked_about_as_their_raw_events_are(run, published):
    """Items beyond max_items are unknown in what a client sends, as they were in training."""
    raw = {user: [item for _, item in events] for user, events in histories().items()}
    users = [user for user, events in raw.items() if len(events) >= 3]
    before = [raw[user][:-1] for user in users]
    for model in (run, published):
        asked = model.recommend(before, k=5)
        assert asked.items.tolist() == model.recommend(users=users, k=5).items.tolist()
        assert asked.users is None
        after = model.recommend(users=users, k=12, targets=True)
        for user, found in zip(users, after, strict=True):
            assert not {each.item for each in found} & set(raw[user])


def test_times_are_read_and_asked_for(timed):
    run, published = podway.load(timed.run), timed.loaded
    assert not set(run.items) - {item for _, item, _ in world.events()}
    users = run.users
    one, other = run.recommend(users=users, k=6), published.recommend(users=users, k=6)
    same(one, other)
    assert set(one.attributes) == {"title"}  # of the dataset, though it is not served
    events = histories()
    some = [user for user in users if len(events[user]) > 3][:5]
    lists = [[item for _, item in events[user][:3]] for user in some]
    times = [[time for time, _ in events[user][:3]] for user in some]
    with warnings.catch_warnings(action="ignore", category=podway.UnknownValues):
        same(run.recommend(lists, times=times, k=3), published.recommend(lists, times=times, k=3))
        quick = [[row[0], row[0], row[0] + 1] for row in times]
        assert (run.scores(lists, times=times) != run.scores(lists, times=quick)).any()
    with pytest.raises(podway.RequestError, match="the model reads times: give times="):
        run.recommend(lists)
    with pytest.raises(podway.RequestError, match="times of history 0 has 1 values for 3 events"):
        run.recommend(lists[:1], times=[[5]])
    with pytest.raises(podway.RequestError, match=r"times of history 0 holds 0\.5"):
        run.recommend(lists[:1], times=[[1, 2, 0.5]])


def test_scores_rank_and_are_products_of_the_embeddings(run, published):
    asked = [list(run.items[:3]), list(run.items[5:6])]
    scores = run.scores(asked)
    assert scores.shape == (2, len(run.items))
    for row, found in enumerate(run.recommend(asked, k=6)):
        left = [
            at for at in np.argsort(-scores[row], kind="stable") if run.items[at] not in asked[row]
        ]
        assert [each.item for each in found] == [run.items[at] for at in left[:6]]
        assert [each.score for each in found] == pytest.approx(scores[row][left[:6]].tolist())
    products = run.user_embeddings(asked) @ run.item_embeddings().T
    np.testing.assert_allclose(products, scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(published.scores(asked), scores)
    np.testing.assert_array_equal(published.item_embeddings(), run.item_embeddings())
    assert run.user_embeddings(users=run.users[:3]).shape == (3, 8)


def test_titles_come_with_the_items(run):
    assert run.attributes["title"].tolist() == [world.title(item) for item in run.items]
    found = run.recommend(users=run.users[:4], k=20)
    for row in found:
        for each in row:
            assert each.attributes == {"title": world.title(each.item)}
    table = found.to_arrow().to_pylist()
    assert table[0] == {
        "user": run.users[0],
        "rank": 1,
        "item": found[0][0].item,
        "score": pytest.approx(found[0][0].score),
        "title": world.title(found[0][0].item),
    }
    assert len(table) == sum(len(row) for row in found)
    assert f"user {run.users[0]}:\n" in str(found)
    assert [len(row) for row in found[1:3]] == [len(found[1]), len(found[2])]


def test_a_copy_without_its_workdir_answers_for_histories_alone(published, tmp_path):
    """As in a container that has the model and nothing else."""
    shutil.copytree(published.place.directory, tmp_path / "a" / "b" / "c" / "1")
    alone = podway.load(tmp_path / "a" / "b" / "c" / "1")
    asked = [list(alone.items[:3])]
    same(alone.recommend(asked, k=4), published.recommend(asked, k=4))
    assert set(alone.recommend(asked).attributes) == {"title"}
    with pytest.raises(podway.RequestError, match="its users are not known; give histories"):
        alone.recommend(users=["u1"])
    with pytest.raises(podway.RequestError, match=r"which is not in .*: load a run"):
        alone.scores(asked)


def test_some_unknown_items_are_warned_of(run):
    known = run.items[0]
    with pytest.warns(podway.UnknownValues, match="2 of 4 items, in 1 of 2 histories") as said:
        found = run.recommend([[known, "x", "y"], [known]])
    assert said[0].filename == __file__
    assert found.unknown.tolist() == [2, 0]
    with pytest.warns(podway.UnknownValues, match="1 items of the filter .* example 'x'"):
        run.recommend([[known]], filter=podway.Filter(deny=["x"]))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.recommend(users=["u1", "nobody", 7]), r"2 of 3 users are not in .*'nobody'"),
        (lambda m: m.recommend(users="u1"), "users is 'u1'; give a list"),
        (lambda m: m.recommend([["i1"], []]), "history 1 is empty"),
        (lambda m: m.recommend([["x", "y"]]), "none of the 2 items of history 0 .*'x'; `.items`"),
        (lambda m: m.recommend(["i1", "i2"]), "history 0 is 'i1', not a list of item ids"),
        (lambda m: m.recommend("i1"), "histories is 'i1'; give a list of histories"),
        (lambda m: m.recommend([[1.5]]), "history 0 holds 1.5; give ids as text"),
        (lambda m: m.recommend([["i1"]], users=["u1"]), "give either histories or users"),
        (lambda m: m.recommend(), "give either histories or users"),
        (lambda m: m.recommend([["i1"]], k=0), "k is 0"),
        (lambda m: m.recommend([["i1"]], k=500), "k is 500"),
        (lambda m: m.recommend([["i1"]], times=[[1]]), "the model reads no times"),
        (lambda m: m.recommend([["i1"]], targets=True), "histories have no targets"),
        (lambda m: m.recommend([["i1"]], filter={"allow": ["i1"]}), r"give podway.Filter\(allow="),
        (lambda m: m.recommend([["i1"]], filter=[]), "there are 0 filters for 1 histories"),
        (lambda m: podway.Filter(allow="i1"), "filter.allow is 'i1'; give a list of ids"),
        (
            lambda m: m.recommend([["i1"]], filter=podway.Filter(["x"])),
            "none of the 1 items of filter.allow",
        ),
        (lambda m: m.predict([{}]), "recommends items, and has no labels; call recommend"),
    ],
)
def test_what_cannot_be_answered_is_one_clear_sentence(run, published, ask, message):
    for model in (run, published):
        with pytest.raises(podway.RequestError, match=message):
            ask(model)


def test_what_was_not_exported_names_the_field(timed):
    with pytest.raises(podway.RequestError, match=r"export.top_k = 6; .*--export.top-k 9, or load"):
        timed.loaded.recommend(users=timed.loaded.users[:1], k=9)
    with pytest.raises(podway.RequestError, match=r"--export.candidate-filter, or load its run"):
        timed.loaded.recommend(users=timed.loaded.users[:1], k=2, filter=podway.Filter(deny=["i1"]))
    one = timed.loaded.recommend(users=timed.loaded.users[:1], k=2, filter=podway.Filter())
    assert len(one[0]) == 2


def test_seen_items_are_left_out_where_the_options_say_so(folder):
    popular = dataclasses.replace(world.shop(folder), name="popular", model=Popularity())
    model = podway.evaluate(popular, folder / "w").loaded
    assert model.place.kind == "run"
    first = model.items[0]
    assert [row[0].item == first for row in model.recommend([[first], model.items[1:2]])] == [0, 1]
    with pytest.raises(podway.RequestError, match="Popularity has no embeddings"):
        model.item_embeddings()
    options = dataclasses.replace(popular.evaluation, exclude_seen=False)
    again = dataclasses.replace(popular, name="again", evaluation=options)
    result = podway.evaluate(again, folder / "w")
    assert result.model is None
    lists = result.loaded.recommend([[first], result.loaded.items[1:2]])
    assert [row[0].item for row in lists] == [first, first]


def test_the_stages_give_their_folders(shop, folder):
    assert podway.data(world.shop(folder), folder / "w") == shop.dataset
    assert {part.parent.name for part in shop.dataset.glob("*/part-*")} >= set(SPLITS)
    assert shop.evaluation.parent.name == "shop"
    assert shop.table.keys() == {"SasRec", "popularity", "seq-KNN"}
