"""Compiles training steps for H200s that are not here, and prints what they are made of, as JSON.

usage: python -m tests.framework.gpus.compiled CASE…
"""

import dataclasses
import json
import sys

from podway.framework.devices import stand_in

stand_in.prepare()

from podway.framework import config  # noqa: E402
from podway.framework.devices import mesh, topology  # noqa: E402
from podway.framework.embedding.optimizer import (  # noqa: E402
    Adagrad,
    LazyAdam,
    RowWiseAdagrad,
    Sgd,
)
from podway.framework.embedding.table import Embedding  # noqa: E402
from podway.framework.models.bert4rec import Bert4Rec  # noqa: E402
from podway.framework.models.decoder import Decoder  # noqa: E402
from podway.framework.models.hstu import Hstu  # noqa: E402
from podway.framework.models.parts.item_losses import SampledSoftmax  # noqa: E402
from podway.framework.models.sasrec import SasRec  # noqa: E402
from podway.framework.preflight import compile as preflight  # noqa: E402
from podway.framework.preflight import hlo, work  # noqa: E402
from podway.framework.training.optimizer import AdamW  # noqa: E402
from podway.framework.training.program import build_program  # noqa: E402

ROWS, WIDTH = 2**20, 128
"""Of the sparse table: 512 MiB, where a step's batch touches some thousand rows."""
OPTIMIZERS = {
    "sgd": Sgd(),
    "adagrad": Adagrad(),
    "row-wise": RowWiseAdagrad(),
    "adam": LazyAdam(),
}
SMALL = {"width": 64, "blocks": 2, "heads": 2, "max_length": 200}
FAMILIES = {
    "sasrec": SasRec(**SMALL),
    "bert4rec": Bert4Rec(**SMALL),
    "hstu": Hstu(**SMALL),
    "decoder": Decoder(
        width=256, layers=2, heads=4, kv_heads=2, head_width=64, feed_forward=512, max_length=200
    ),
}


def sparse(optimizer: str, gpus: int) -> dict:
    """Whether a step with a sparse table copies it."""
    model = SasRec(
        width=WIDTH,
        blocks=1,
        max_length=16,
        objective=SampledSoftmax(negatives=64),
        embedding=Embedding(OPTIMIZERS[optimizer], placement="sharded"),
    )
    compiled = step(model, ROWS, 16, 8 * gpus, gpus)
    module = hlo.parse(compiled.as_text())
    part = 4 * ROWS * WIDTH / gpus
    copies = [
        instruction.name
        for computation in module.computations.values()
        for instruction in computation.values()
        if instruction.opcode.startswith("copy")
        and any(array.bytes >= part / 2 for array in instruction.results)
    ]
    memory = compiled.memory_analysis()
    return {
        "copies": copies,
        "moved": sum(piece.bytes for piece in work.pieces(module)) / part,
        "temporary": memory.temp_size_in_bytes / part,
        "aliased": memory.alias_size_in_bytes / part,
    }


def family(name: str) -> dict:
    """What a step of a small model is made of."""
    compiled = step(FAMILIES[name], 3416, 200, 128, 1)
    pieces = [*work.pieces(hlo.parse(compiled.as_text()))]
    return {
        "kernels": round(sum(piece.times for piece in pieces)),
        "gigaflops": round(sum(piece.flops for piece in pieces) / 1e9, 1),
        "megabytes": round(sum(piece.bytes for piece in pieces) / 1e6),
        "temporary": round(compiled.memory_analysis().temp_size_in_bytes / 1e6),
    }


def step(model, items: int, history: int, batch: int, gpus: int):
    """The trainer's whole step, compiled."""
    experiment = config.Experiment(
        name="on_gpus",
        data=config.Data(name="none", path="none"),
        model=model,
        optimizer=AdamW(),
        trainer=config.Trainer(batch_size=batch),
    )
    devices = topology.devices(topology.parse(f"h200:{gpus}"))
    schema = preflight.declared(items=items, users=100, history=history + 1)
    prepared = dataclasses.replace(experiment, model=model.prepared(None))
    return build_program(prepared, schema, mesh.build(config.Mesh(), devices)).step


def main() -> None:
    """A case is OPTIMIZER:GPUS, or a family's name."""
    found = {}
    for case in sys.argv[1:]:
        optimizer, _, gpus = case.partition(":")
        found[case] = sparse(optimizer, int(gpus)) if gpus else family(case)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
