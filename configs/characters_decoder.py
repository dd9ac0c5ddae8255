"""A language model of characters, trained on the help texts that come with CPython 3.11 (756 kB).

Measured, seed 0, on the 1,477 test characters (one of each stretch of 512, seen ones allowed): HR@1
.8152 [.7955, .8348], 0.6242 nats = 0.90 bits a character; popularity HR@1 .4089, sequential nearest
neighbours .4428. Counted pairs and triples of characters (add-0.1) reach .5375 and .6398, with 1.77
and 1.21 nats. The whole `podway run` took 3 min 42 s on two CPU cores.
"""

from podway.framework.config import (
    Characters,
    Columns,
    Data,
    Evaluation,
    Experiment,
    Export,
    Trainer,
)
from podway.framework.models.decoder import Decoder
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="characters_decoder",
        data=Data(
            name="python_topics",
            path="package://pydoc_data/topics.py",
            format=Characters(document=512),
            columns=Columns(user="document", item="character", time=None),
            min_user_events=1,
            min_item_events=1,
        ),
        model=Decoder(
            width=128,
            layers=4,
            heads=4,
            kv_heads=2,
            head_width=32,
            feed_forward=352,
            max_length=128,
        ),
        optimizer=AdamW(learning_rate=3e-3, warmup_steps=50, weight_decay=0.1),
        trainer=Trainer(
            steps=600, batch_size=32, crop="random", evaluate_every=100, checkpoint_every=100
        ),
        evaluation=Evaluation(cutoffs=(1, 5), exclude_seen=False),
        export=Export(top_k=5, max_history=128),
    )
