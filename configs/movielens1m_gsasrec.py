"""gSASRec on MovieLens 1M (see movielens1m_sasrec for the file): gBCE with many negatives.

Settings of Petrov & Macdonald (2023, arXiv:2308.07192): 256 negatives, t .75, width 128, 2 blocks,
but for its dropout of .5 (.2 is better on validation); here the positions of a sequence share their
negatives. Measured, one seed: test HR@10 .315, NDCG@10 .185 (published .300, .173).
"""

import dataclasses

from podway.configs import movielens1m_sasrec
from podway.framework.config import Experiment
from podway.framework.models.parts.item_losses import GBce
from podway.framework.models.sasrec import SasRec


def experiment() -> Experiment:
    """The resolved experiment."""
    return dataclasses.replace(
        movielens1m_sasrec.experiment(),
        name="movielens1m_gsasrec",
        model=SasRec(width=128, max_length=200, dropout=0.2, objective=GBce(negatives=256, t=0.75)),
    )
