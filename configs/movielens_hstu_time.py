"""HSTU with biases by time on MovieLens (latest small, 2016), the demo's data.

Measured on two CPU cores, seed 0, 600 steps, test split: HR@10 .106 [.084, .130], NDCG@10 .057
[.043, .072]; without the biases (`--model.time-buckets 0`) .094 and .047. The difference in NDCG@10
is .010 [−.001, .021] over users (p .08), of one seed each: too little to tell. Popularity has .045
and .021, sequential nearest neighbours .130 and .069, the demo's SASRec of 1,200 steps .142 and
.070. Training takes three minutes, 3.3 steps a second (3.5 without the biases).
"""

import dataclasses

from podway.configs import movielens_sasrec
from podway.framework.config import Experiment
from podway.framework.models.hstu import Hstu


def experiment() -> Experiment:
    """The resolved experiment."""
    demo = movielens_sasrec.experiment()
    return dataclasses.replace(
        demo,
        name="movielens_hstu_time",
        model=Hstu(max_length=100, dropout=0.2, time_buckets=64),
        trainer=dataclasses.replace(demo.trainer, steps=600),
    )
