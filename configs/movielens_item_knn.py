"""ItemKNN on MovieLens (latest small): cosine of the items' sets of users.

Measured on two busy CPU cores, test split: HR@10 .0492 [.0328, .0656], NDCG@10 .0268 [.0175,
.0370]. Fitted in 10 seconds. Neighbours (20 to 300) and shrinkage (0 to 50) were chosen by NDCG@10
on validation, where they matter little (.034 to .041).
"""

from podway.configs import movielens_sasrec
from podway.framework.config import Experiment
from podway.framework.models.item_knn import ItemKnn


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_item_knn",
        data=movielens_sasrec.experiment().data,
        model=ItemKnn(neighbours=50, shrinkage=0.0),
    )
