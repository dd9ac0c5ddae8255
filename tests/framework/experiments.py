"""A small experiment on the small dataset."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from podway.framework import task
from podway.framework.config import Data, Evaluation, Experiment, Mesh, Trainer
from podway.framework.embedding.table import Embedding
from podway.framework.input.batches import TrainBatches
from podway.framework.models.parts import item_losses
from podway.framework.models.sasrec import SasRec
from podway.framework.training import optimizer
from podway.framework.training.optimizer import AdamW


def noisy(model, schema):
    """The module without its parameters, and these, away from their initial zeros and ones: so that
    a forgotten bias or scale shows."""
    parameters = task.initialize(model, schema, jax.random.key(3))
    noise = np.random.default_rng(0)
    parameters = {
        path: array + 0.1 * noise.normal(size=array.shape).astype(np.float32)
        for path, array in sorted(parameters.items())
    }
    return task.structure(model, schema), parameters


def said(model, head, schema, parameters, **columns):
    """What one of a model's heads (`model.scores`, `model.predict`) says of a batch."""
    return task.inference(model, schema, head)(parameters, columns, task.SERVING)


def scores(model, schema, parameters, history, **columns):
    """The scores of histories, padded at the end."""
    history = jnp.asarray(history)
    return np.asarray(said(model, model.scores, schema, parameters, item=history, **columns))


def walks(**trainer) -> Experiment:
    options = {
        "steps": 20,
        "batch_size": 16,
        "shuffle_window_blocks": 2,
        "evaluate_every": 10,
        "checkpoint_every": 5,
        "log_every": 1,
    }
    return Experiment(
        name="walks",
        data=Data(name="walks", path="by hand"),
        model=SasRec(width=16, blocks=1, feed_forward=2, max_length=8),
        optimizer=AdamW(learning_rate=1e-2, warmup_steps=5),
        trainer=Trainer(**(options | trainer)),
        evaluation=Evaluation(cutoffs=(5, 10), batch_size=32, bootstrap=100),
    )


def changed(options: dict[str, Any]) -> Experiment:
    """`walks` with {"trainer": {...}, "mesh": {...}, "model": {...}, "optimizer": {...}}.

    The model's "embedding" is {...}, its "objective" {"type": "GBce", ...}; the optimizer is
    {"type": "Lion", ...}.
    """
    experiment = walks(**options.get("trainer", {}))
    changes = dict(options.get("model", {}))
    if "embedding" in changes:
        changes["embedding"] = Embedding(**changes["embedding"])
    if "objective" in changes:
        chosen = dict(changes["objective"])
        changes["objective"] = getattr(item_losses, chosen.pop("type"))(**chosen)
    if "optimizer" in options:
        chosen = dict(options["optimizer"])
        found = getattr(optimizer, chosen.pop("type", "AdamW"))(**chosen)
        experiment = dataclasses.replace(experiment, optimizer=found)
    return dataclasses.replace(
        experiment,
        mesh=Mesh(**options.get("mesh", {})),
        model=dataclasses.replace(experiment.model, **changes),
    )


@contextlib.contextmanager
def breaking(monkeypatch, index: int) -> Iterator[None]:
    """Training batch `index` cannot be read, for the time of a block."""
    read = TrainBatches.__getitem__

    def broken(self, at):
        if at == index:
            raise OSError("the disk is broken")
        return read(self, at)

    with monkeypatch.context() as patched:
        patched.setattr(TrainBatches, "__getitem__", broken)
        yield
