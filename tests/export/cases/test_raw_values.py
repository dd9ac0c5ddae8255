"""Numbers that verification sends are some that the feature could have."""

import dataclasses

import jax
import numpy as np
import pytest
from etils import epath

from podway.beam.dataset import build
from podway.export import stage
from podway.export.cases import raw_values
from podway.export.error import ExportError
from podway.framework import task
from podway.framework.config.features import Categorical, Label, Numeric
from podway.framework.heads import Regression
from podway.framework.input.batches import Dataset
from podway.framework.models.dcn import Dcn
from podway.framework.schema.fitted import FittedTransform
from tests.export.graph import test_labels as shop


@pytest.mark.parametrize(
    "within", [(1e6, 2e6), (-3.0, -3.0), (-raw_values.LARGEST, raw_values.LARGEST), None]
)
def test_known_numbers_lie_within_and_unknown_ones_not_far_beyond(within):
    fitted = FittedTransform(Numeric("x", scale="none"), "events", mean=50.0, deviation=2.0)
    draw = np.random.default_rng(0)
    low, high = within or (44.0, 56.0)
    width = high - low or 3.0
    for unknown in (False, True):
        found = [
            raw_values.raw(fitted, None, draw, unknown=unknown, within=within) for _ in range(200)
        ]
        beyond = width if unknown else 0.0
        assert min(found) >= max(low - beyond, -raw_values.LARGEST)
        assert max(found) <= min(high + beyond, raw_values.LARGEST)
        assert (min(found) < low or max(found) > high) == (unknown and low > -1e38)


def test_a_dcn_of_plain_numbers_is_exported(tmp_path):
    """Its cross layers multiply: numbers as large as float32 has have no finite answer."""
    folder = epath.Path(tmp_path)
    shop.write_events(folder / "events.csv")
    chosen = shop.experiment(folder)
    features = (Label("paid"), Numeric("price", scale="none"), Categorical("shop"))
    chosen = dataclasses.replace(
        chosen,
        data=dataclasses.replace(chosen.data, features=features, tables=()),
        model=Dcn(objectives=(Regression("paid"),), width=4, layers=3, deep=(4,)),
    )
    dataset = Dataset.open(build(chosen.data, folder, None))
    parameters = {
        path: np.asarray(each)
        for path, each in task.initialize(chosen.model, dataset.schema, jax.random.key(0)).items()
    }
    shop.export(chosen, dataset, parameters, folder)
    broken = parameters | {path: np.full_like(each, np.nan) for path, each in parameters.items()}
    with pytest.raises(ExportError, match=r"numbers of the parameter .* are not finite"):
        shop.export(chosen, dataset, broken, folder / "other")
    huge = {path: each * np.float32(1e12) for path, each in parameters.items()}
    with pytest.raises(ExportError, match=r"probes have no finite 'paid', for example .*price"):
        stage.export(
            stage.served(chosen, dataset), parameters=huge, inputs={}, workdir=folder / "third"
        )
