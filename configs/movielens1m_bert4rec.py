"""BERT4Rec on MovieLens 1M (see movielens1m_sasrec for the file): a comparison.

Settings of Sun et al. (2019, arXiv:1904.06690): width 64, 2 blocks, 2 heads, a fifth of the items
masked. It is known to need many more steps than SASRec (Petrov & Macdonald 2022, arXiv:2207.07483).
Measured, one seed: test HR@10 .280, NDCG@10 .151 (published .282 to .284, .152 to .156).
"""

import dataclasses

from podway.configs import movielens1m_sasrec
from podway.framework.config import Experiment
from podway.framework.models.bert4rec import Bert4Rec


def experiment() -> Experiment:
    """The resolved experiment."""
    base = movielens1m_sasrec.experiment()
    return dataclasses.replace(
        base,
        name="movielens1m_bert4rec",
        trainer=dataclasses.replace(base.trainer, steps=18800, evaluate_every=940),
        model=Bert4Rec(max_length=200, dropout=0.2, masked=0.2),
    )
