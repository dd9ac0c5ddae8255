"""TODO"""

from configs import movielens_sasrec
from framework.config import Experiment
from framework.models.ials import Ials


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_ials",
        data=movielens_sasrec.experiment().data,
        model=Ials(),
    )
