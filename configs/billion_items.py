"""SASRec over a billion items, for a pod: the item table is sparse and split over all chips.

A shape to start from: put your own `data` in. Nobody here has trained it; `podway preflight
billion_items --topology v5e:16x16 --items 1000000000` says what the compiler makes of it.
"""

from podway.configs import completejourney_sasrec
from podway.framework.config import Experiment, Trainer
from podway.framework.embedding.table import Embedding
from podway.framework.models.parts.item_losses import SampledSoftmax
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="billion_items",
        data=completejourney_sasrec.experiment().data,
        model=SasRec(
            width=128,
            blocks=4,
            heads=1,
            max_length=200,
            objective=SampledSoftmax(negatives=8192),
            embedding=Embedding(placement="sharded"),
        ),
        optimizer=AdamW(learning_rate=1e-3, warmup_steps=2000),
        trainer=Trainer(
            steps=100_000,
            batch_size=32 * 256,
            precision="bf16",
            evaluate_every=10_000,
            checkpoint_every=1000,
        ),
    )
