"""A language model of 8 billion parameters: the shape of Llama 3 8B, for a pod.

`data` is to be set to token ids by document. Nothing of it was run; `podway preflight decoder_8b
--items 128256 --history 4097` predicts for a step of a million tokens, bound by products:

  --topology v5p:4x4x8    fits, 11.4 of 95.73 GiB; 1.66 s serial, MFU 53.7 % (--skip-evaluation)
  --topology v5e:16x16    fits, 9.0 of 15.75 GiB; 2.47 s serial, MFU 41.9 %
"""

from podway.framework.config import Columns, Data, Evaluation, Experiment, Mesh, Parquet, Trainer
from podway.framework.models.decoder import Decoder
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="decoder_8b",
        data=Data(
            name="tokens",
            path="tokens/*.parquet",
            format=Parquet(),
            columns=Columns(user="document", item="token", time=None),
            min_user_events=1,
            min_item_events=1,
        ),
        model=Decoder(
            width=4096,
            layers=32,
            heads=32,
            kv_heads=8,
            head_width=128,
            feed_forward=14336,
            max_length=4096,
            rope_base=500_000.0,
            tied=False,
        ),
        optimizer=AdamW(learning_rate=3e-4, warmup_steps=2000, weight_decay=0.1, beta2=0.95),
        trainer=Trainer(
            steps=100_000,
            batch_size=256,
            precision="bf16",
            remat="blocks",
            crop="random",
            evaluate_every=2000,
            checkpoint_every=500,
        ),
        mesh=Mesh(fsdp=64),
        evaluation=Evaluation(cutoffs=(1, 5), exclude_seen=False),
    )
