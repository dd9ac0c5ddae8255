"""SASRec on MovieLens 1M, quick enough to be trained a dozen times on two CPU cores.

The config `movielens1m_sasrec` with histories of 100 items in place of 200 and 3,000 steps in place
of 9,400. The file is not shipped: `--data.path ml-1m.txt` (see benchmarks/reproduce.py).
"""

import dataclasses

from podway.configs import movielens1m_sasrec
from podway.framework.config import Experiment
from podway.framework.models.sasrec import SasRec


def experiment() -> Experiment:
    """The resolved experiment."""
    full = movielens1m_sasrec.experiment()
    trainer = dataclasses.replace(
        full.trainer, steps=3000, evaluate_every=250, checkpoint_every=250
    )
    optimizer = dataclasses.replace(full.optimizer, warmup_steps=100)
    return dataclasses.replace(
        full, model=SasRec(max_length=100), optimizer=optimizer, trainer=trainer
    )
