import dataclasses

import pytest

from podway.framework import codec, config
from podway.framework.config import Csv, Data, Experiment, GlobalTime, Trainer, fields
from podway.framework.error import ConfigError
from tests.framework.experiments import walks


def test_json_both_ways_keeps_swappable_parts():
    experiment = dataclasses.replace(
        walks(),
        data=Data(name="x", path="y", format=Csv(delimiter="|"), split=GlobalTime(0.5, 0.6)),
    )
    text = codec.to_json(experiment)
    assert text["data"]["split"]["type"] == "GlobalTime"
    assert codec.from_json(Experiment, text) == experiment


def test_version_ignores_what_does_not_change_the_result():
    def version(experiment):
        return codec.content_hash(codec.to_json(experiment, versioned=True))

    experiment = walks()
    other_mesh = dataclasses.replace(experiment, mesh=config.Mesh(fsdp=4))
    assert version(walks(checkpoint_every=7)) == version(other_mesh) == version(experiment)
    assert version(walks(steps=21)) != version(experiment)


def test_a_field_that_came_later_is_versioned_where_it_is_set_alone():
    @dataclasses.dataclass(frozen=True)
    class Before:
        width: int = 3

    @dataclasses.dataclass(frozen=True)
    class After(Before):
        depth: int = fields.later(1)
        inner: Before = fields.later(Before())

    def versioned(part):
        return codec.to_json(part, versioned=True)

    assert versioned(After()) == versioned(Before()) == {"width": 3}
    assert versioned(After(depth=2)) == {"width": 3, "depth": 2}
    assert versioned(After(inner=Before(4))) == {"width": 3, "inner": {"width": 4}}
    stored = codec.to_json(After())
    assert stored == {"width": 3, "depth": 1, "inner": {"width": 3}}, "what is stored says all"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Trainer(steps=0), "trainer.steps is 0"),
        (lambda: Data(name="x", path="y", shards=0), "data.shards is 0"),
        (lambda: GlobalTime(0.9, 0.8), "validation < test"),
        (lambda: Csv(header=False), "data.format.names is empty"),
        (
            lambda: Data(name="x", path="y", columns=config.Columns(time=None), split=GlobalTime()),
            "data.columns.time is None",
        ),
        (lambda: config.Export(batch_buckets=(4, 2)), "export.batch_buckets"),
        (lambda: dataclasses.replace(walks(), name="a/b"), "name is 'a/b'"),
    ],
)
def test_impossible_values_name_their_field(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_from_json_names_the_field_that_does_not_fit():
    text = codec.to_json(walks())
    text["trainer"]["steps"] = "many"
    with pytest.raises(ConfigError, match=r"trainer\.steps: expected int, found 'many'"):
        codec.from_json(Experiment, text)
    text["trainer"] = {"stepz": 3}
    with pytest.raises(ConfigError, match="unknown fields"):
        codec.from_json(Experiment, text)


def test_difference_names_the_first_place():
    ours, theirs = codec.to_json(walks()), codec.to_json(walks(steps=21))
    assert codec.difference(ours, theirs) == "trainer.steps is 20 here and 21 there"
    assert codec.difference(ours, ours) is None
