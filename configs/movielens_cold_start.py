"""Two towers on MovieLens, split by time, with a catalogue of all films: what of the new ones?

9,066 films have ids, of which 2,690 are rated at least once before the split's first point.
Measured on two busy CPU cores, seed 0. Few users rate both before and after: of 37 test targets 18
have no training events, of which one is among the first 50 and three among the first 200
(hr@50 .056 [.000, .167], hr@200 .167 [.000, .333]; popularity none, a random order .006
and .022). So ask for all later ratings of films without training events, 3,076 of 18 users
(benchmarks/cold_items.py): recall@50 .016 [.002, .040] (random .006), recall@200 .031 [.011, .057]
(random .023), popularity 0. Better than nothing, and far from certain. With 300 steps instead of
800, none and one of the 18. On films that are known it does not beat popularity: 360 training users
are too few.
"""

import dataclasses

from podway.configs import movielens_two_tower
from podway.framework.config import Evaluation, Experiment, GlobalTime


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
        evaluation=Evaluation(cutoffs=(50, 200)),
    )
