"""Sweeps over the steps of a compressed experiment."""
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import dataclasses

import pytest

pytest.importorskip("optuna", reason="optuna is missing: pip install 'podway[sweep]'")

from podway.framework.compression.distil import Distil
from podway.framework.compression.low_rank import LowRank
from podway.framework.compression.quantize import Int4
from podway.framework.config import compressed
from podway.framework.config.sweep import Choice, Int, Limit, Sweep, Winner
from podway.framework.error import ConfigError
from podway.framework.input.batches import Dataset
from podway.framework.models.sasrec import SasRec
from podway.launch import experiments
from podway.launch.sweep import answer, given, quantities, space, study, written
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.worker import Worker
from tests.framework.experiments import walks
from tests.launch import world


def test_a_step_with_another_field_is_taken_anew():
    """A student's width is a field of the step, and what is trained is the model."""
    made = compressed(walks(), Distil(width=4), Int4())
    found = space.placed(made, {"compression.0.width": 8, "compression.1.group": 2})
    assert found == compressed(walks(), Distil(width=8), Int4(group=2))
    assert (found.model.width, found.compression[0].before.model) == (8, walks().model)
    seeded = space.placed(made, {"compression.0.width": 8, "trainer.seed": 3})
    assert (seeded.model.width, seeded.trainer.seed) == (8, 3)


def test_a_field_of_a_students_own_model():
    student = dataclasses.replace(walks().model, width=4)
    assert isinstance(student, SasRec)
    made = compressed(walks(), Distil(model=student))
    sweep = Sweep((given.dimension("compression.0.model.width=4,8"),))
    assert space.checked(made, sweep) == sweep
    assert space.placed(made, {"compression.0.model.width": 8}).model.width == 8


@pytest.mark.parametrize(
    ("dimension", "said"),
    [
        ("compression.0.width=0,8", "compression.0.width = 0"),
        ("compression.0.widht=4,8", "perhaps you meant compression.0.width"),
        ("compression.1.width=4,8", "is no field of the experiment"),
        ("compression.0.before.model.width=4,8", "is what the experiment had before the step"),
        ("compression.0.model.width=4,8", "is no field of the experiment"),
    ],
)
def test_what_a_step_refuses_is_told_before_the_first_trial(dimension, said):
    with pytest.raises(ConfigError, match=r"^space: ") as error:
        space.checked(compressed(walks(), Distil(width=4)), Sweep((given.dimension(dimension),)))
    assert said in str(error.value)


def test_what_was_changed_after_the_steps_is_not_undone():
    made = compressed(walks(), Distil(width=4))
    made = dataclasses.replace(made, trainer=dataclasses.replace(made.trainer, steps=7))
    with pytest.raises(ConfigError, match="changed after the steps, which would be undone"):
        space.placed(made, {"compression.0.width": 8})


def test_what_is_known_of_a_compressed_model_before_training(shop, folder):
    """4 bits for each number, and a scale of 2 bytes for each group of them."""
    dataset, base = Dataset.open(shop.dataset), world.shop(folder)
    whole = compressed(base, Int4(paths=("item/embedding",)))
    found = {
        group: quantities.measure(
            space.placed(whole, {"compression.0.group": group}), dataset, ["size", "latency"]
        )
        for group in (None, 2)
    }
    rows = answer.first_parameters(base, dataset)["item/embedding"].shape[0]
    more = 1e6 * (found[2]["size"] - found[None]["size"])
    assert more == pytest.approx(rows * (8 // 2 - 1) * 2)
    assert all(each["latency"] > 0 for each in found.values())
    quantities.check_measurable(whole, ["quality", "size", "latency", "cost"])
    with pytest.raises(ConfigError, match="memory of a compressed model"):
        quantities.check_measurable(whole, ["memory"])
    with pytest.raises(ConfigError, match="size is not known before LowRank has compressed"):
        quantities.check_measurable(compressed(base, LowRank(rank=2)), ["size"])


def test_groups_of_a_format_are_trials(shop, folder):
    """The model was trained already; each trial converts it, and one does not fit the width."""
    made = Plan(
        compressed(world.shop(folder), Int4()),
        "shop.py",
        Sweep(
            (Choice("compression.0.group", (2, 3, 8)),),
            objectives=("quality", "size"),
            limits=(Limit("latency", 1e3),),
            trials=5,
            winner=Winner(candidates=1, seeds=1),
        ),
        str(folder / "w"),
    )
    Worker(made, 0).search()
    found = study.read(study.open_study(made), made.sweep)
    sizes = {
        each.values["compression.0.group"]: each.quantities["size"]
        for each in found
        if each.state == "complete"
    }
    assert {each.state for each in found} <= {"complete", "refused"}
    assert set(sizes) <= {2, 8}
    assert sorted(sizes, key=sizes.__getitem__, reverse=True) == sorted(sizes)
    refused = [each for each in found if each.state == "refused"]
    assert all("3" in each.reason for each in refused)
    assert {each.values["compression.0.group"] for each in refused} <= {3}


def test_the_winner_among_steps_is_written_as_a_config(tmp_path):
    config = tmp_path / "small.py"
    config.write_text(
        "import podway\n"
        "from podway.framework.compression.distil import Distil\n"
        "from podway.framework.compression.quantize import Int4\n"
        "from podway.framework.config import compressed\n\n"
        "def experiment():\n"
        "    base = podway.experiment('movielens_sasrec')\n"
        "    return compressed(base, Distil(width=32), Int4())\n"
    )
    base = experiments.load(str(config))
    sweep = Sweep((Choice("compression.1.group", (None, 8)), Int("compression.0.width", 8, 16)))
    assert space.checked(base, sweep) == sweep
    won = space.placed(base, {"compression.1.group": 8, "compression.0.width": 16})
    written.write(str(tmp_path / "won.py"), str(config), won, "Won.")
    assert experiments.load(str(tmp_path / "won.py")) == won
    assert "data=" not in (tmp_path / "won.py").read_text()
