"""Popularity on MovieLens (latest small): what any model must beat.

Measured on two busy CPU cores, test split: HR@10 .0447 [.0298, .0611], NDCG@10 .0210 [.0134,
.0297]. Fitted in under a second.
"""

from podway.configs import movielens_sasrec
from podway.framework.config import Experiment
from podway.framework.models.popularity import Popularity


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_popularity",
        data=movielens_sasrec.experiment().data,
        model=Popularity(),
    )
