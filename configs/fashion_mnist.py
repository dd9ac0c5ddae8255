"""Fashion-MNIST (Debian package dataset-fashion-mnist): a convolutional classifier of clothes.

70,000 images of 28 × 28 pixels, 10 classes; of the makers' 60,000 train images the last 5,000 are
for validation, their 10,000 test images are the test split. Measured: test accuracy .919 (chance
.100); 2,150 steps took 3 min 10 s on two CPU cores.
"""

from podway.framework.config import (
    Columns,
    Data,
    Evaluation,
    Experiment,
    GlobalTime,
    Idx,
    RowExamples,
    Trainer,
)
from podway.framework.config.features import Label, Pixels
from podway.framework.heads import Classes
from podway.framework.models.convnet import ConvNet
from podway.framework.training.optimizer import AdamW

CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
"""What the classes 0 … 9 are."""


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="fashion_mnist",
        data=Data(
            name="fashion_mnist",
            path="/usr/share/datasets/fashion-mnist/*-images-idx3-ubyte.gz",
            format=Idx(),
            columns=Columns(user="name", item="label", time="block"),
            features=(Pixels("image", size=28 * 28), Label("class", column="label")),
            examples=RowExamples(),
            min_user_events=1,
            min_item_events=1,
            # Of 70 blocks, and block 55 is the first that is validated on.
            split=GlobalTime(validation=0.786, test=0.858),
            extendable=False,
        ),
        model=ConvNet(objectives=(Classes("class", classes=len(CLASSES)),)),
        optimizer=AdamW(learning_rate=2e-3, warmup_steps=100),
        trainer=Trainer(steps=2150, batch_size=256, evaluate_every=215, checkpoint_every=215),
        evaluation=Evaluation(batch_size=500),
    )
