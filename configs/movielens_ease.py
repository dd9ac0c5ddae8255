"""TODO"""

from configs import movielens_sasrec
from framework.config import Experiment
from framework.models.ease import Ease


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_ease",
        data=movielens_sasrec.experiment().data,
        model=Ease(regularization=400.0),
    )
