"""TODO"""

from configs import movielens_sasrec
from framework.config import Experiment
from framework.models.sequence_knn import SequenceKnn


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_sequence_knn",
        data=movielens_sasrec.experiment().data,
        model=SequenceKnn(window=20, decay=0.9),
    )
