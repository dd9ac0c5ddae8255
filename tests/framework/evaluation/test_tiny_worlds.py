"""The evaluation against a slow one, written down plainly, over random tiny worlds.

Few items, equal scores, scores that are not finite, targets that may not be answered.
"""

import math

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from podway.framework.config import Evaluation
from podway.framework.evaluation import ranks, slices
from podway.framework.metrics import ranking, top_k

FIRST = 2
SCORES = st.sampled_from([0.0, 0.0, 1.0, -1.0, 0.5, 3.0, math.nan, math.inf, -math.inf])


class World:
    """A catalogue of some items and some rows that only fill up, and users with a target each."""

    def __init__(self, draw):
        items = draw(st.integers(1, 6))
        self.catalogue = FIRST + items
        self.rows = self.catalogue + draw(st.integers(0, 3))
        self.users = draw(st.integers(1, 5))
        self.exclude_seen = draw(st.booleans())
        ids = st.integers(0, self.catalogue - 1)
        row = st.lists(SCORES, min_size=self.rows, max_size=self.rows)
        self.scores = [draw(row) for _ in range(self.users)]
        self.histories = [draw(st.lists(ids, max_size=4)) for _ in range(self.users)]
        self.targets = [draw(st.integers(1, self.catalogue - 1)) for _ in range(self.users)]
        counts = st.lists(st.integers(0, 5), min_size=items, max_size=items)
        self.counts = np.array([0, draw(st.integers(0, 9)), *draw(counts)])


worlds = st.composite(lambda draw: World(draw))()


def plain_list(world, user):
    """The items that may be answered, in order: falling score, then rising id."""
    seen = set(world.histories[user]) if world.exclude_seen else set()
    scored = [
        (-world.scores[user][item], item)
        for item in range(FIRST, world.catalogue)
        if item not in seen and -math.inf < world.scores[user][item] < math.inf
    ]
    return [item for _, item in sorted(scored)]


def plain_metrics(world, k):
    """{metric: value} of all users."""
    found = {"hr": 0.0, "ndcg": 0.0, "mrr": 0.0}
    recommended = []
    for user in range(world.users):
        best = plain_list(world, user)[:k]
        recommended += best
        if world.targets[user] in best:
            rank = best.index(world.targets[user]) + 1
            found["hr"] += 1 / world.users
            found["ndcg"] += 1 / math.log2(1 + rank) / world.users
            found["mrr"] += 1 / rank / world.users
    found["coverage"] = len(set(recommended)) / (world.catalogue - FIRST)
    counts = world.counts[FIRST:].tolist()
    events = sum(counts)
    if events and recommended:
        drawn = sum(count * count for count in counts) / events
        chosen = [world.counts[item] for item in recommended]
        found["popularity_bias"] = sum(chosen) / len(chosen) / drawn
        bits = [-math.log2(max(count, 1) / events) for count in chosen]
        found["novelty"] = sum(bits) / len(bits)
    else:
        found["popularity_bias"] = found["novelty"] = math.nan
    return found


def plain_likelihood(world, user):
    own = [world.scores[user][item] for item in range(FIRST, world.catalogue)]
    if any(math.isnan(score) or score == math.inf for score in own):
        return math.nan
    target = world.targets[user]
    if target < FIRST or world.scores[user][target] == -math.inf:
        return math.inf
    return math.log(sum(map(math.exp, own))) - world.scores[user][target]


def ranked(world, k):
    length = max(max(map(len, world.histories)), 1)
    history = np.array([h + [0] * (length - len(h)) for h in world.histories], np.int32)
    scores, target = jnp.array(world.scores, jnp.float32), jnp.array(world.targets)
    rank = ranks._ranker(world.catalogue, k, world.exclude_seen, None, None)
    found = {name: np.asarray(each) for name, each in rank(scores, history, target).items()}
    seen = ranks._distinct(history) if world.exclude_seen else 0
    targets = np.array(world.targets)
    return ranks.Ranks(
        item=targets,
        history=(history != 0).sum(1),
        candidates=np.broadcast_to(world.catalogue - FIRST - seen, targets.shape),
        seen=world.exclude_seen & ranks._holds(history, targets),
        **found,
    )


@given(worlds, st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_every_metric_is_that_of_the_plain_list(world, k):
    options = Evaluation(cutoffs=(k,), bootstrap=2, sampled_negatives=3)
    found = ranked(world, min(k, world.catalogue))
    for user in range(world.users):
        best = plain_list(world, user)[:k]
        assert found.lists[user][found.lists[user] > 0].tolist() == best
    table = ranks.summarize(found, options, world.counts, likelihood=True)
    for name, value in plain_metrics(world, k).items():
        np.testing.assert_allclose(table[f"{name}@{k}"]["value"], value, rtol=1e-6, err_msg=name)
    each = [plain_likelihood(world, user) for user in range(world.users)]
    np.testing.assert_allclose(found.nll, each, rtol=1e-5, atol=1e-6)
    known = [nats for nats, target in zip(each, world.targets, strict=True) if target >= FIRST]
    if known:
        np.testing.assert_allclose(table["nll"]["value"], np.mean(known), rtol=1e-5, atol=1e-6)
    invalid = sum(math.isnan(nats) for nats in each)
    assert table.get("invalid_scores", {"users": 0})["users"] == invalid
    # A sample of the others: what no list has, no sample has; what is first, is first in each.
    sampled = ranking.sampled_ranks(found.target, found.candidates, 3, seed=0)
    nowhere = found.target == ranking.UNRANKED
    assert ((sampled == ranking.UNRANKED) == nowhere).all()
    assert (sampled[~nowhere] <= np.minimum(found.target[~nowhere], 4)).all()
    groups = slices.summarize(found, options, world.counts)
    for kind in ("history", "target head|target mid|target tail|target cold|target unknown"):
        users = [
            cell["users"]
            for name, cell in groups.items()
            if name.startswith("hr@") and any(part in name for part in kind.split("|"))
        ]
        assert sum(users) == world.users


@given(worlds, st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_blocks_say_the_same(world, block):
    """Scores as products with the unit vectors; −∞ and not-a-number come through the products."""
    finite = np.nan_to_num(np.array(world.scores, np.float32), posinf=9.0, neginf=-9.0)
    query = jnp.array(finite).at[0].set(jnp.array(world.scores[0], jnp.float32))
    table = jnp.eye(world.rows, dtype=jnp.float32)
    factors = top_k.Factors(query, table)
    scores = jnp.matmul(query, table.T)
    history = jnp.array([(h + [0] * 4)[:4] for h in world.histories], jnp.int32)
    target = jnp.array(world.targets)
    whole = ranks._ranker(world.catalogue, 3, world.exclude_seen, None, None)
    parts = ranks._ranker(world.catalogue, 3, world.exclude_seen, block, None)
    one, other = whole(scores, history, target), parts(factors, history, target)
    np.testing.assert_array_equal(one["target"], other["target"])
    np.testing.assert_array_equal(one["lists"], other["lists"])
    np.testing.assert_allclose(one["nll"], other["nll"], rtol=1e-5, atol=1e-5)
