"""eSASRec on MovieLens 1M (see movielens1m_sasrec for the file): LiGR blocks, sampled softmax.

Settings of the paper (2025, arXiv:2508.06450), at the size of movielens1m_sasrec: width 64, 2
blocks, 256 negatives, here for each sequence. Measured, one seed, packed (`--trainer.pack
--trainer.batch-size 69`, as many events a step): test HR@10 .319, NDCG@10 .185 (published .313,
.177 on 3,706 items), in an hour on two CPU cores.
"""

import dataclasses

from podway.configs import movielens1m_sasrec
from podway.framework.config import Experiment
from podway.framework.models.parts.item_losses import SampledSoftmax
from podway.framework.models.sasrec import SasRec


def experiment() -> Experiment:
    """The resolved experiment."""
    return dataclasses.replace(
        movielens1m_sasrec.experiment(),
        name="movielens1m_esasrec",
        model=SasRec(
            max_length=200,
            block_kind="ligr",
            objective=SampledSoftmax(256, drawn_for="sequence"),
        ),
    )
