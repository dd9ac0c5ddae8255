"""What a nearline config may say."""

import pytest

from podway.framework.config.online import Nearline, Online, Weight
from podway.framework.error import ConfigError


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"types": ()}, r"nearline.types is empty; name"),
        ({"history": 0}, r"nearline.history is 0; give 1 or more"),
        ({"half_life_hours": float("nan")}, r"nearline.half_life_hours is nan; give a number"),
        (
            {"weights": (Weight("view"),)},
            r"counts 'view', and nearline.types are \('click'",
        ),
        ({"group": ""}, r"nearline.group is empty"),
    ],
)
def test_what_cannot_be_is_named(fields, said):
    with pytest.raises(ConfigError, match=said):
        Nearline(**fields)
    with pytest.raises(ConfigError, match=r"play has nan; give a number above 0"):
        Weight("play", float("nan"))
    with pytest.raises(ConfigError, match=r"types has 'view', and online.events.types does not"):
        Online(nearline=Nearline(types=("view",)))
