"""EASE^R on MovieLens 100K: a check of the protocol against published figures."""

from framework.config import Columns, Csv, Data, Experiment
from framework.models.ease import Ease


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
