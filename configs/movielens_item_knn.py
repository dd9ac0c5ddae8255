"""TODO"""

from configs import movielens_sasrec
from framework.config import Experiment
from framework.models.item_knn import ItemKnn


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_item_knn",
        data=movielens_sasrec.experiment().data,
        model=ItemKnn(neighbours=50, shrinkage=0.0),
    )
