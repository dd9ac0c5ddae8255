"""A small model with random parameters, exported once."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np
import pytest
from etils import epath

from podway.export import stage
from podway.export.served.recommender import ServedRecommender
from podway.export.verification import verify
from podway.framework import task
from podway.framework.config import Data, Experiment, Export
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import Feature, Schema, Vocabulary
from podway.framework.training.optimizer import AdamW

in_fresh_process = verify.in_fresh_process

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


@pytest.fixture(scope="session", autouse=True)
def verified_here() -> Iterator[None]:
    """Exports are verified in the tests' process: a new one takes longer to load TensorFlow.

    The chain's test and those that take `verified_elsewhere` have processes of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "in_fresh_process", verify.verify)
        yield


@pytest.fixture
def verified_elsewhere(monkeypatch) -> None:
    """Exports of the test are verified in processes of their own, as they are for users."""
    monkeypatch.setattr(verify, "in_fresh_process", in_fresh_process)


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
    parameters = task.initialize(experiment.model, schema, jax.random.key(0))
    return Trained(experiment, schema, vocabulary(7), jax.device_get(parameters))


@pytest.fixture(scope="session")
def workdir(trained, tmp_path_factory) -> epath.Path:
    path = epath.Path(tmp_path_factory.mktemp("export"))
    stage.export(
        ServedRecommender(trained.experiment, trained.schema, trained.vocabulary),
        parameters=trained.parameters,
        inputs={"run": "r1", "dataset": "d1"},
        workdir=path,
    )
    return path


@pytest.fixture(scope="session")
def complete(trained, tmp_path_factory) -> epath.Path:
    """The same model, published with all that an export may add to it."""
    options = dataclasses.replace(
        trained.experiment.export, candidate_filter=True, beside=("jax-export", "weights")
    )
    experiment = dataclasses.replace(trained.experiment, export=options)
    return stage.export(
        ServedRecommender(experiment, trained.schema, trained.vocabulary),
        parameters=trained.parameters,
        inputs={"run": "r1", "dataset": "d1"},
        workdir=tmp_path_factory.mktemp("complete"),
    )


@pytest.fixture(scope="session")
def published(workdir) -> epath.Path:
    return workdir / "models" / "small" / "1"
