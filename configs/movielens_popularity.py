"""TODO"""

from configs import movielens_sasrec
from framework.config import Experiment
from framework.models.popularity import Popularity


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_popularity",
        data=movielens_sasrec.experiment().data,
        model=Popularity(),
    )
