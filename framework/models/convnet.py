"""A convolutional classifier of images, after LeNet-5 (LeCun et al. 1998).

Blocks of a 3 × 3 convolution, ReLU and 2 × 2 max pooling, then a hidden layer and the logits.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import ClassVar

import jax
from flax import nnx
from jaxtyping import Array, Float, UInt8

from podway.framework.config.model import ShardingRules
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import check
from podway.framework.heads import Classes, Head
from podway.framework.models.parts.row_model import deal_out
from podway.framework.models.parts.transformer import drop
from podway.framework.schema.schema import Schema
from podway.framework.task import SERVING, Batch, ForwardContext, LabelModel


@dataclasses.dataclass(frozen=True)
class ConvNet(LabelModel):
    """Convolutions, one hidden layer, logits of the labels."""

    sharding_rules: ClassVar[ShardingRules] = (
        (r"convolutions/\d+/kernel", (None, None, None, "fsdp")),
    )

    objectives: tuple[Head, ...] = (Classes("class", classes=10),)
    """The labels to predict; the loss of the first one selects the best checkpoint."""
    image: str = "image"
    """The feature of pixels (features.Pixels), row by row, channels last."""
    height: int = 28
    """Rows of an image."""
    width: int = 28
    """Columns of an image."""
    channels: int = 1
    """Numbers of a pixel."""
    filters: tuple[int, ...] = (32, 64)
    """Of each convolution; each halves height and width."""
    hidden: int = 128
    """Width of the hidden layer."""
    dropout: float = 0.4
    """Dropout rate before and after the hidden layer."""

    def __post_init__(self):
        super().__post_init__()
        sizes = (self.height, self.width, self.channels, self.hidden, *self.filters)
        check(min(sizes) >= 1, "model: height, width, channels, filters and hidden are 1 or more")
        check(
            min(self.height, self.width) >> len(self.filters) >= 1,
            f"model.filters has {len(self.filters)} convolutions, each of which halves"
            f" {self.height} × {self.width} pixels: give fewer",
        )
        check(
            0 <= self.dropout < 1, f"model.dropout is {self.dropout}; give a rate from 0 to below 1"
        )

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "Convolutions":
        """The module, after a look at the schema."""
        feature, size = schema[self.image], self.height * self.width * self.channels
        check(
            feature.shape == (size,),
            f"model: {self.height} × {self.width} × {self.channels} is {size}, and a value of"
            f" {self.image} has the shape {feature.shape}",
        )
        return Convolutions(self, rngs)

    def lengths(self, schema: Schema) -> dict[str, int]:
        """The image and the labels."""
        return {self.image: 1} | self.label_lengths(schema)

    def predict(
        self,
        module: "Convolutions",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> dict[str, Array]:
        """Logits by label: f32 [batch, classes]."""
        return deal_out(self.objectives, module(batch[self.image], context))


class Convolutions(nnx.Module):
    """Pixels → logits."""

    def __init__(self, config: ConvNet, rngs: nnx.Rngs):
        sizes = (config.channels, *config.filters)
        init = nnx.initializers.he_normal()
        self.shape = (config.height, config.width, config.channels)
        self.dropout = config.dropout
        self.convolutions = nnx.List(
            [
                nnx.Conv(before, after, (3, 3), kernel_init=init, rngs=rngs)
                for before, after in itertools.pairwise(sizes)
            ]
        )
        halvings = len(config.filters)
        flat = (config.height >> halvings) * (config.width >> halvings) * sizes[-1]
        self.hidden = nnx.Linear(flat, config.hidden, kernel_init=init, rngs=rngs)
        self.head = nnx.Linear(config.hidden, config.outputs, rngs=rngs)

    def __call__(
        self, pixels: UInt8[Array, "batch size"], context: ForwardContext = SERVING
    ) -> Float[Array, "batch outputs"]:
        """Logits of all labels; dropout is off without a key."""
        first, second = context.keys(2)
        x = pixels.reshape(-1, *self.shape).astype(self.head.kernel.dtype) / 255
        for convolution in self.convolutions:
            x = halve(jax.nn.relu(convolution(x)))
        x = drop(self.dropout, x.reshape(x.shape[0], -1), first)
        x = drop(self.dropout, jax.nn.relu(self.hidden(x)), second)
        return self.head(x)


def halve(x: Float[Array, "batch height width filters"]) -> Array:
    """2 × 2 max pooling; an odd row or column at the end is left out. Takes a free batch size."""
    height, width, filters = x.shape[1:]
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(-1, height // 2, 2, width // 2, 2, filters).max((2, 4))
