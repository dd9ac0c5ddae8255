"""Fashion-MNIST: a classifier of clothes (Debian package dataset-fashion-mnist).

70,000 images of 28 × 28 pixels, 10 classes; the makers' 60,000 train images give the last 5,000 for
validation, their 10,000 test images are the test split.
"""

from framework.config import Columns, Data, Experiment, GlobalTime, Idx, Rows
from framework.features import Pixels

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


def experiment() -> Experiment:
    """The resolved experiment."""
    return Experiment(
        name="fashion_mnist",
        data=Data(
            name="fashion_mnist",
            path="/usr/share/datasets/fashion-mnist/*-images-idx3-ubyte.gz",
            format=Idx(classes=CLASSES),
            columns=Columns(user="name", item="label", time="block"),
            features=(Pixels("image", size=28 * 28),),
            examples=Rows(),
            min_user_events=1,
            min_item_events=1,
            # Of 70 blocks, and block 55 is the first that is validated on.
            split=GlobalTime(validation=0.786, test=0.858),
            extendable=False,
        ),
    )
