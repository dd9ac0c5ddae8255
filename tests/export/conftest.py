"""A small model with random parameters, exported once."""

import dataclasses

import jax
import numpy as np
import pytest
from etils import epath

from podway.export import stage
from podway.framework import task as tasks
from podway.framework.config import Data, Experiment, Export
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import Feature, Schema, Vocabulary
from podway.framework.training.optimizer import AdamW

# Values that a text file would break, and one that looks like padding but isn't.
ODD_VALUES = ("two\nlines", "tab\tand \\n", "Amélie 🎬", " ", "0")
VALUES = (*ODD_VALUES, *(f"item {number}" for number in range(43)))
SIZE = len(VALUES) + 2


@dataclasses.dataclass(frozen=True)
class Trained:
    experiment: Experiment
    schema: Schema
    vocabulary: Vocabulary
    parameters: dict[str, np.ndarray]


def vocabulary(out_of_vocabulary_events: int) -> Vocabulary:
    return Vocabulary(("", "", *VALUES), (0, out_of_vocabulary_events, *[1] * len(VALUES)))


@pytest.fixture(scope="session")
def trained() -> Trained:
    experiment = Experiment(
        name="small",
        data=Data(name="none", path="none"),
        model=SasRec(width=8, blocks=1, max_length=8, dropout=0.0),
        optimizer=AdamW(),
        export=Export(top_k=10, batch_buckets=(1, 2, 5), max_history=64),
    )
    schema = Schema((Feature("item", "item", "int32", True, "item", SIZE, 40),))
    parameters = tasks.initialize(experiment.model, schema, jax.random.key(0))
    return Trained(experiment, schema, vocabulary(7), jax.device_get(parameters))


@pytest.fixture(scope="session")
def workdir(trained, tmp_path_factory) -> epath.Path:
    path = epath.Path(tmp_path_factory.mktemp("export"))
    stage.export(
        trained.experiment,
        schema=trained.schema,
        vocabulary=trained.vocabulary,
        parameters=trained.parameters,
        inputs={"run": "r1", "dataset": "d1"},
        workdir=path,
    )
    return path


@pytest.fixture(scope="session")
def published(workdir) -> epath.Path:
    return workdir / "models" / "small" / "1"
