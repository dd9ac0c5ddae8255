"""SASRec on MovieLens 1M with its original loss: BCE with one negative (Kang & McAuley 2018).

A comparison: the loss accounts for most of what later models gain (Klenitskiy & Vasilev 2023,
arXiv:2309.07602). The latest 200 items, as published. Measured, one seed: test HR@10 .250, NDCG@10
.134 (published .239 to .250, .126 to .134).
"""

import dataclasses

from podway.configs import movielens1m_sasrec
from podway.framework.config import Experiment
from podway.framework.models.parts.item_losses import Bce
from podway.framework.models.sasrec import SasRec


def experiment() -> Experiment:
    """The resolved experiment."""
    base = movielens1m_sasrec.experiment()
    return dataclasses.replace(
        base,
        name="movielens1m_sasrec_bce",
        trainer=dataclasses.replace(base.trainer, crop="latest"),
        model=SasRec(max_length=200, dropout=0.2, objective=Bce(negatives=1, drawn_for="position")),
    )
