"""Two towers on MovieLens, split by time, with a catalogue of all films: what of the new ones?"""

import dataclasses

from configs import movielens_two_tower
from framework.config import Evaluation, Experiment, GlobalTime


def experiment() -> Experiment:
    """The resolved experiment."""
    warm = movielens_two_tower.experiment()
    (films,) = warm.data.tables
    return dataclasses.replace(
        warm,
        name="movielens_cold_start",
        data=dataclasses.replace(
            warm.data,
            split=GlobalTime(validation=0.5, test=0.6),
            tables=(dataclasses.replace(films, catalogue=True),),
        ),
        model=dataclasses.replace(warm.model, id_dropout=0.5),
        trainer=dataclasses.replace(warm.trainer, steps=300),
        evaluation=Evaluation(cutoffs=(50, 200)),
    )
