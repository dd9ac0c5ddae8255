"""What teachers say of rows: the mean of their logits, label by label."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from podway.framework import task
from podway.framework.compression.distillation.teachers import Teacher
from podway.framework.error import check
from podway.framework.input import join
from podway.framework.input.batches import fixed
from podway.framework.input.columns import Arrays
from podway.framework.input.dataset import Dataset

ROWS = 4096
"""Rows that are answered at a time."""


def logits(
    teachers: Sequence[Teacher], student: task.LabelModel, dataset: Dataset
) -> Callable[[int], Arrays]:
    """A function: number of a train block → {"logits": f32 [rows, outputs]}, of all the student's
    labels one after the other.

    Raises ConfigError where a teacher has not the student's labels.
    """
    models = [task.of_kind(each.experiment.model, task.LabelModel) for each in teachers]
    wanted = [(type(head), head.label, head.outputs) for head in student.objectives]
    for model, each in zip(models, teachers, strict=True):
        there = [(type(head), head.label, head.outputs) for head in model.objectives]
        check(
            set(wanted) <= set(there),
            f"compression.teachers: {each.folder} predicts {[name for _, name, _ in there]}, and"
            f" the student {[name for _, name, _ in wanted]}: teachers know all of these labels",
        )
    schema = dataset.schema
    inputs: dict[str, int] = {}
    for model in models:
        for name, length in model.lengths(schema).items():
            if join.is_joined(name) or schema[name].role not in ("label", "weight"):
                check(
                    inputs.setdefault(name, length) == length,
                    f"compression.teachers: they read {inputs[name]} and {length} values of {name};"
                    " teach by one of them",
                )
    tables = join.attribute_tables(dataset, inputs)
    names = [name for name in inputs if not join.is_joined(name)]
    blocks, infer = dataset.blocks("train"), [task.inference(m, schema, m.predict) for m in models]
    on_device = jax.device_put([each.parameters for each in teachers])

    @jax.jit
    def say(parameters: list[task.Parameters], batch: task.Batch) -> Array:
        found = [one(own, batch, task.SERVING) for one, own in zip(infer, parameters, strict=True)]
        means = [sum(each[label] for each in found) / len(found) for _, label, _ in wanted]
        rows = next(iter(batch.values())).shape[0]
        return jnp.concatenate([jnp.reshape(mean, (rows, -1)) for mean in means], axis=1)

    def of_block(block: int) -> Arrays:
        rows = fixed(blocks.read(np.array([block]), names), inputs)
        rows |= {name: table(rows) for name, table in tables.items()}
        count, parts = len(next(iter(rows.values()))), []
        size = min(ROWS, 1 << (count - 1).bit_length())
        for start in range(0, count, size):
            part = {name: column[start : start + size] for name, column in rows.items()}
            missing = size - len(next(iter(part.values())))
            part = {
                name: np.pad(column, [(0, missing)] + [(0, 0)] * (column.ndim - 1))
                for name, column in part.items()
            }
            parts.append(np.asarray(say(on_device, part), np.float32)[: size - missing])
        return {"logits": np.concatenate(parts)}

    return of_block
