"""Search spaces: what they are said by, and held against the experiment before a trial begins."""
# pyright: reportAttributeAccessIssue=false

import json

import pytest

from podway.framework import codec
from podway.framework.config import Trainer
from podway.framework.config.sweep import Asha, Choice, Float, Int, Limit, Sweep, Winner
from podway.framework.error import ConfigError
from podway.launch.sweep import given, plan, space
from tests.framework.experiments import walks
from tests.launch.sweep import examples

RATE = Float("optimizer.learning_rate", 1e-4, 1e-2, log=True)


def test_a_trial_is_the_experiment_with_other_values():
    found = space.placed(
        walks(), {"model.width": 32, "optimizer.learning_rate": 0.5, "evaluation.cutoffs": (1,)}
    )
    assert (found.model.width, found.optimizer.learning_rate) == (32, 0.5)
    assert found.evaluation.cutoffs == (1,)
    assert found.trainer == walks().trainer
    assert space.value_of(found, "model.width") == 32


def test_fields_of_a_part_are_set_at_once():
    """Batches of 10 in 5 parts: neither value alone fits what the experiment has."""
    with pytest.raises(ConfigError, match=r"trainer.accumulate = 5 does not divide"):
        space.placed(walks(), {"trainer.accumulate": 5})
    found = space.placed(walks(), {"trainer.accumulate": 5, "trainer.batch_size": 10})
    assert found.trainer.accumulate == 5


@pytest.mark.parametrize(
    ("dimension", "said"),
    [
        (Float("optimizer.learning_rat", 1, 2), "perhaps you meant optimizer.learning_rate"),
        (Int("width", 1, 2), "perhaps you meant model.width"),
        (Choice("model", ("a", "b")), "model stands for several fields; perhaps you meant model."),
        (Int("trainer.readers", 1, 2), "trainer.readers does not change what is trained"),
        (Int("mesh.fsdp", 1, 2), "mesh.fsdp does not change what is trained"),
        (Int("evaluation.seed", 1, 2), "evaluation.seed does not change what is trained"),
        (Int("trainer.seed", 1, 9), "trainer.seed is no choice, as luck would win"),
        (Float("model.width", 8.5, 16.5), "model.width takes whole numbers; give Int"),
        (Choice("model.width", (8, "wide")), "model.width is 'wide'; give an integer"),
        (Choice("trainer.crop", ("latest", "middle")), "trainer.crop is 'middle'"),
        (Int("trainer.batch_size", 0, 8), "trainer.batch_size is 0; give 1 or more"),
    ],
)
def test_what_the_experiment_refuses_is_told_before_the_first_trial(dimension, said):
    with pytest.raises(ConfigError, match=r"^space: ") as error:
        space.checked(walks(), Sweep((RATE, dimension)))
    assert said in str(error.value)


def test_dimensions_take_the_type_of_their_field():
    given_ = Sweep((Int("trainer.min_delta", 0, 1), Choice("optimizer.learning_rate", (1, 0.5))))
    found = space.checked(walks(), given_)
    assert found.space[0] == Float("trainer.min_delta", 0.0, 1.0)
    assert [type(each) for each in found.space[1].values] == [float, float]
    optional = Sweep((Float("trainer.clip_norm", 0.1, 2), Choice("trainer.ema", (None, 0.9))))
    assert space.checked(walks(), optional) == optional


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Float("a b", 0, 1), "no path of a field"),
        (lambda: Float("x", 1, 1), "holds nothing to choose from"),
        (lambda: Float("x", 0, float("nan")), "holds nothing to choose from"),
        (lambda: Float("x", 0, 1, log=True), "logarithmic, and begins at 0"),
        (lambda: Int("x", 1, 10, step=4), "give high = 9"),
        (lambda: Choice("x", (1,)), "give a tuple of two or more"),
        (lambda: Choice("x", (1, 2, 1)), "stands twice"),
        (lambda: Sweep(()), "space holds no dimensions"),
        (lambda: Sweep((RATE, RATE)), "names optimizer.learning_rate twice"),
        (lambda: Sweep((RATE,), objectives=("latency",)), "give quality, and others once each"),
        (lambda: Sweep((RATE,), limits=(Limit("size", 1), Limit("size", 2))), "names size twice"),
        (lambda: Limit("quality", 1), "quality has no limit"),
        (lambda: Limit("size", float("nan")), "give a positive number"),
        (lambda: Sweep((RATE,), minutes=0), "give more than 0, or None"),
        (lambda: Asha(factor=1), "pruner.factor is 1"),
        (lambda: Winner(seeds=0), "winner.seeds is 0"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("optimizer.learning_rate=1e-4..1e-2:log", RATE),
        ("--model.width=8..64", Int("model.width", 8, 64)),
        ("model.feed-forward=1,2", Choice("model.feed_forward", (1, 2))),
        ("trainer.ema=None,.9", Choice("trainer.ema", (None, 0.9))),
        ("trainer.crop=latest,random", Choice("trainer.crop", ("latest", "random"))),
        ("trainer.pack=True,False", Choice("trainer.pack", (True, False))),
    ],
)
def test_dimensions_in_words(text, dimension):
    assert given.dimension(text) == dimension


@pytest.mark.parametrize("text", ["model.width", "model.width=", "=1..2", "a=x..y", "a=1..2:exp"])
def test_words_that_say_no_dimension(text):
    with pytest.raises(ConfigError, match=r"FIELD=LOW\.\.HIGH"):
        given.dimension(text)


def test_limits_in_words():
    assert given.limit("latency=20") == Limit("latency", 20.0)
    with pytest.raises(ConfigError, match=r"--limits weight=3: .*'weight' is none of"):
        given.limit("weight=3")
    with pytest.raises(ConfigError, match="--limits size=large: give QUANTITY=NUMBER"):
        given.limit("size=large")


def test_a_sweep_stands_in_a_file_or_beside_its_experiment(tmp_path):
    found = Sweep((RATE, Choice("trainer.ema", (None, 0.9, True, (1, 2)))), trials=3)
    (tmp_path / "s.json").write_text(json.dumps(codec.to_json(found)))
    assert given.sweep([str(tmp_path / "s.json")], "x") == found
    (tmp_path / "s.py").write_text(
        "from podway.framework.config.sweep import Float, Sweep\n"
        "def sweep():\n    return Sweep((Float('optimizer.learning_rate', 1e-4, 1e-2, True),))\n"
    )
    for arguments in (([str(tmp_path / "s.py")], "x"), ([], str(tmp_path / "s.py"))):
        assert given.sweep(*arguments) == Sweep((RATE,))
    (tmp_path / "none.py").write_text("def experiment():\n    return None\n")
    with pytest.raises(ConfigError, match="--space is missing: give FIELD="):
        given.sweep([], str(tmp_path / "none.py"))
    with pytest.raises(ConfigError, match="--space is missing"):
        given.sweep([], "movielens_sasrec")
    with pytest.raises(ConfigError, match=r"has no function `sweep\(\)`"):
        given.sweep([str(tmp_path / "none.py")], "x")
    with pytest.raises(ConfigError, match="there is no file"):
        given.sweep([str(tmp_path / "away.json")], "x")
    (tmp_path / "s.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not the JSON of a Sweep"):
        given.sweep([str(tmp_path / "s.json")], "x")


def test_a_plan_is_what_workers_read_back(tmp_path):
    made = examples.plan(tmp_path)
    made.write()
    assert plan.read(made.directory, "") == made
    more = examples.plan(tmp_path, trials=99, winner=Winner(seeds=5), minutes=3.0)
    assert more.version == made.version, "the same sweep goes on"
    assert examples.plan(tmp_path, seed=1).version != made.version
    other = made.directory.rename(made.directory.parent / "other")
    with pytest.raises(ConfigError, match=f"is of the sweep {made.version}"):
        plan.read(other, "")


def test_a_storage_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--storage is 'mysql://x:…@h/n'; give sqlite"):
        plan.Plan(walks(), "w", Sweep((RATE,)), str(tmp_path), "mysql://x:secret@h/n")
    with pytest.raises(ConfigError, match=r"--workdir gs://b/w cannot hold a database"):
        plan.Plan(walks(), "w", Sweep((RATE,)), "gs://b/w")


def test_what_a_dimension_is_of_has_a_trainer():
    assert "trainer.steps" in space.paths(walks())
    assert isinstance(space.value_of(walks(), "trainer"), Trainer)
