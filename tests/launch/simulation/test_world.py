"""A world whose taste changes."""

import numpy as np
import pytest

from podway.framework.error import ConfigError
from podway.launch.simulation.world import World

WORLD = World(users=50, genres=6, items=10, new=3)


def chosen(user: int, changed: bool) -> list[str]:
    draw, found, last = np.random.default_rng(user), [], ""
    for _ in range(40):
        last = WORLD.choice(user, last, frozenset(found), changed, draw)
        found.append(last)
    return found


def test_most_is_of_what_is_liked_most():
    at_home = [
        name.startswith(f"g{WORLD.genre(user, changed)}-")
        for user in range(WORLD.users)
        for changed in (False, True)
        for name in chosen(user, changed)[:5]
    ]
    # 75 % and its part of the rest; a standard deviation is 2 %.
    assert 0.7 < np.mean(at_home) < 0.83


def test_everybody_likes_another_genre_after_the_change_and_all_are_liked():
    before = [WORLD.genre(user, False) for user in range(WORLD.users)]
    after = [WORLD.genre(user, True) for user in range(WORLD.users)]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert len(set(before)) == WORLD.genres


def test_new_items_are_there_after_the_change_only():
    assert not any("new" in name for name in chosen(3, False))
    assert any("new" in name for name in chosen(3, True))
    assert WORLD.pleasure(3, f"g{WORLD.genre(3, True)}-new0", False) == 0
    assert WORLD.pleasure(3, f"g{WORLD.genre(3, True)}-new0", True) == pytest.approx(0.8)


def test_what_is_seen_is_chosen_again_only_when_all_of_its_genre_is():
    seen: set[str] = set()
    for name in chosen(7, False):
        genre = int(name[1 : name.index("-")])
        assert name not in seen or seen.issuperset(WORLD.names(genre, False))
        seen.add(name)


@pytest.mark.parametrize("item", ["", "g9-01", "i7", "g1-99"])
def test_an_item_of_another_world_pleases_nobody(item):
    assert WORLD.pleasure(0, item, True) == 0


def test_a_world_of_three_genres_is_refused():
    with pytest.raises(ConfigError, match="genres is 3"):
        World(genres=3)
