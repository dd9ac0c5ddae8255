"""Two towers and a ranker of what they retrieve, on MovieLens (latest small, 2016)."""

import dataclasses

from configs import movielens_two_tower
from framework.config import Experiment
from framework.models.retrieve_rank import RetrieveRank
from framework.models.two_tower import TwoTower


def experiment() -> Experiment:
    """The resolved experiment."""
    retrieval = movielens_two_tower.experiment()
    assert isinstance(retrieval.model, TwoTower)
    return dataclasses.replace(
        retrieval,
        name="movielens_retrieve_rank",
        model=RetrieveRank(retrieval=retrieval.model),
        trainer=dataclasses.replace(retrieval.trainer, steps=400),
    )
