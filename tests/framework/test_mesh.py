import re
from typing import ClassVar

import jax
import pytest

from framework import config, mesh
from framework.error import ConfigError


class Eight:
    """A stand-in with the shape of a mesh of eight devices: rules only look at its axes."""

    shape: ClassVar = {"data": 2, "fsdp": 4}
    size = 8


def test_rules_place_each_kind_of_parameter():
    place = {
        "item/embedding": (128, 16),
        "position/embedding": (50, 16),
        "blocks/0/qkv/kernel": (16, 48),
        "blocks/0/qkv/bias": (48,),
        "norm/scale": (16,),
    }
    specs = {path: tuple(mesh.spec(path, shape, Eight())) for path, shape in place.items()}
    assert specs == {
        "item/embedding": ("fsdp", None),
        "position/embedding": (None, "fsdp"),
        "blocks/0/qkv/kernel": ("fsdp", None),
        "blocks/0/qkv/bias": (None,),
        "norm/scale": (None,),
    }


@pytest.mark.parametrize(
    ("path", "shape", "message"),
    [
        ("item/gate", (4,), "no sharding rule matches the parameter item/gate"),
        ("item/embedding", (130, 16), "mesh.fsdp = 4 does not divide 130"),
        ("a/kernel", (4, 4, 4), "has not the dimensions of its rule"),
    ],
)
def test_what_the_table_does_not_cover_is_an_error_that_shows_it(path, shape, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        mesh.spec(path, shape, Eight())
    assert all(pattern in str(caught.value) for pattern, _ in mesh.RULES)


def test_more_devices_than_there_are_is_an_error():
    count = jax.device_count()
    with pytest.raises(ConfigError, match=f"asks for {count + 1} devices; there are {count}"):
        mesh.build(config.Mesh(data=count + 1))
    with pytest.raises(ConfigError, match=f"mesh.fsdp asks for {count + 1} devices"):
        mesh.build(config.Mesh(fsdp=count + 1))


def test_a_mesh_that_does_not_divide_is_an_error():
    three = [jax.devices()[0]] * 3
    with pytest.raises(ConfigError, match=r"mesh\.fsdp = 2 does not divide the 3 devices"):
        mesh.build(config.Mesh(fsdp=2), three)
    with pytest.raises(ConfigError, match=r"trainer\.batch_size = 12 does not divide among the 8"):
        mesh.check_batch(Eight(), 12, "trainer.batch_size")


def test_peak_of_this_machine_is_plausible():
    assert 1e8 < mesh.peak_flops(jax.devices()[0]) < 1e17
