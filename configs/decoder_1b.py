"""A language model of 1.2 billion parameters: the shape of Llama 3.2 1B, for a pod.

Heads are twice as wide and half as many as there, which fills the lanes of a TPU. `data` is to be
set to token ids by document.

Nothing of it was run; `podway preflight decoder_1b --topology v5e:16x16 --items 128256 --history
2049` predicts: fits, 3.9 of 15.75 GiB; a step of a million tokens 395 ms serial (products 203,
memory 182, ICI 88), MFU 42.9 %. On v5p:4x4x4: fits, 6.0 of 95.73 GiB; 488 ms,
MFU 59.5 %.
"""

from podway.framework.config import Columns, Data, Evaluation, Experiment, Mesh, Parquet, Trainer
from podway.framework.models.decoder import Decoder
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="decoder_1b",
        data=Data(
            name="tokens",
            path="tokens/*.parquet",
            format=Parquet(),
            columns=Columns(user="document", item="token", time=None),
            min_user_events=1,
            min_item_events=1,
        ),
        model=Decoder(
            width=2048,
            layers=16,
            heads=16,
            kv_heads=4,
            head_width=128,
            feed_forward=8192,
            max_length=2048,
            rope_base=500_000.0,
        ),
        optimizer=AdamW(learning_rate=4e-4, warmup_steps=2000, weight_decay=0.1, beta2=0.95),
        trainer=Trainer(
            steps=100_000,
            batch_size=512,
            precision="bf16",
            remat="blocks",
            crop="random",
            evaluate_every=2000,
            checkpoint_every=500,
        ),
        mesh=Mesh(fsdp=16),
        evaluation=Evaluation(cutoffs=(1, 5), exclude_seen=False),
    )
