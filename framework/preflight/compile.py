"""Preflight: the real train and evaluation step, compiled for a pod, and what follows from it.

Nothing runs: arrays are shapes, devices may be stand-ins (framework/devices/topology.py).
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from podway.framework import config, task
from podway.framework.config import features
from podway.framework.devices import hardware, mesh, topology
from podway.framework.devices.topology import Topology
from podway.framework.error import ConfigError
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.preflight import hlo, memory, roofline
from podway.framework.preflight.collectives import find
from podway.framework.preflight.report import CompiledProgram, Report, peaks
from podway.framework.schema.schema import FIRST_VALUE, Feature, Schema
from podway.framework.training.program import build_program
from podway.framework.training.state import describe_state, inference_shapes
from podway.framework.training.validation import validation_context

LARGEST = 8
"""Arrays to name in a report."""


_REMAT = ("none", "products", "blocks")
"""By how much is computed anew, rising."""


_TREATMENTS = ((None, 1), ("products", 1), ("blocks", 1), (None, 4), ("blocks", 4), ("blocks", 16))
"""(remat, times as many parts of a batch) to try, in the order of what they cost."""


DECLARED_VALUES, DECLARED_LIST = 10_000, 10
"""Values of a vocabulary without a limit, and the longest list of ids without one, of attributes
in a dataset that does not exist."""


def declared(
    items: int, users: int, history: int, tables: Sequence[config.SideTable] = ()
) -> Schema:
    """The schema of a dataset that does not exist: users with a history of items.

    Args:
      items: ids of items.
      users: ids of users.
      history: the longest history.
      tables: of attributes, of which those that are ids are in the schema.
    """
    return Schema(
        (
            Feature("user", "user", "int32", vocabulary="user", size=users),
            Feature("item", "item", "int32", True, "item", items, history),
            Feature("time", "time", "int64", True, max_length=history),
            Feature("target", "target", "int32", vocabulary="item", size=items),
            Feature("target_time", "target_time", "int64"),
            *(
                attribute
                for table in tables
                for feature in table.features
                if (attribute := _declared_attribute(feature, table.of))
            ),
        )
    )


def _declared_attribute(feature: features.Transform, of: str) -> Feature | None:
    length = DECLARED_LIST if features.is_ragged(feature) else 1
    match feature:
        case features.Hashed(buckets=buckets):
            size = buckets + FIRST_VALUE
        case features.Quantiles(buckets=buckets):
            size = buckets + 1
        case features.Categorical() | features.Text():
            limit = DECLARED_VALUES if feature.max_values is None else feature.max_values
            size = FIRST_VALUE + limit + feature.oov_buckets - 1
            length = feature.max_tokens if isinstance(feature, features.Text) else length
        case _:
            return None
    ragged = features.is_ragged(feature)
    return Feature(feature.name, "feature", "int32", ragged, None, size, length, table=of)


def examine(
    experiment: config.Experiment, schema: Schema, pod: Topology, *, evaluation: bool = True
) -> Report:
    """Compiles for a pod and reads the result.

    Raises:
      ConfigError: the mesh or the batch does not fit the devices.
      TopologyError: there is no such pod, or no way to compile for it here.
    """
    devices = mesh.build(experiment.mesh, topology.devices(pod), pod.islands)
    held = [
        memory.Held(placed.path, placed.kind, placed.split, placed.bytes)
        for placed in describe_state(experiment, schema, devices.shape)
    ]
    parts = _parts(held)
    limit = hardware.memory(devices.devices.flat[0])
    model_flops = 0.0
    try:
        model = task.of_kind(experiment.model, task.TrainedModel).prepared(None)
        prepared = dataclasses.replace(experiment, model=model)
        program = build_program(prepared, schema, devices)
    except jax.errors.JaxRuntimeError as error:
        train = _failed(error, parts, limit)
    else:
        model_flops = program.flops
        train = _read(program.step, devices, pod, parts, sum(parts.values()), limit)
    evaluated = None
    if evaluation:
        evaluated = _evaluation(experiment, schema, devices, pod, parts, limit)
    return Report(
        experiment,
        pod,
        dict(devices.shape),
        {
            feature.name: feature.size
            for feature in schema.features
            if feature.role in ("user", "item")
        },
        tuple(sorted(held, key=lambda each: -each.bytes)[:LARGEST]),
        train,
        evaluated,
        model_flops,
    )


def alternatives(report: Report) -> Iterator[config.Experiment]:
    """Other ways to compute the same that take less memory; none of them changes the result."""
    experiment = report.experiment
    trainer, layout = experiment.trainer, experiment.mesh
    inside = math.prod(size for axis, size in report.mesh.items() if axis != "slice")
    meshes = [layout]
    if layout.fsdp < inside // layout.tensor:
        meshes.append(dataclasses.replace(layout, fsdp=inside // layout.tensor, data=-1))
    for remat, accumulate in _TREATMENTS:
        weaker = _REMAT.index(remat or trainer.remat) < _REMAT.index(trainer.remat)
        if weaker or trainer.batch_size % (trainer.accumulate * accumulate):
            continue
        for each in meshes:
            changed = dataclasses.replace(
                experiment,
                mesh=each,
                trainer=dataclasses.replace(
                    trainer,
                    remat=remat or trainer.remat,
                    accumulate=trainer.accumulate * accumulate,
                ),
            )
            if changed != experiment:
                yield changed


def attempts(report: Report, schema: Schema, *, wanted: int = 3) -> list[Report]:
    """`alternatives`, compiled until `wanted` fit: those that fit, the fastest first, then others.

    What is plain without compiling is left out: a state that is too large already, and meshes that
    do not divide a parameter or the batch.
    """
    tried: list[Report] = []
    limit = report.train.usage.limit
    for changed in alternatives(report):
        if sum(each.fits for each in tried) == wanted:
            break
        try:
            if state_bytes(changed, schema, report.topology) > limit:
                continue
            evaluation = report.evaluate is not None
            tried.append(examine(changed, schema, report.topology, evaluation=evaluation))
        except ConfigError:
            continue
    return sorted(tried, key=lambda each: (not each.fits, each.step_seconds or math.inf))


def state_bytes(experiment: config.Experiment, schema: Schema, pod: Topology) -> int:
    """Bytes of the training state on one device. Raises ConfigError."""
    sizes = mesh.shape(experiment.mesh, pod.devices, pod.slices)
    return sum(placed.bytes for placed in describe_state(experiment, schema, sizes))


def scan(experiment: config.Experiment, schema: Schema, pods: Sequence[Topology]) -> list[Report]:
    """The training step over growing pods, with the batch of the first one per device."""
    first = pods[0].devices
    reports = []
    for pod in pods:
        trainer = dataclasses.replace(
            experiment.trainer, batch_size=experiment.trainer.batch_size * pod.devices // first
        )
        grown = dataclasses.replace(experiment, trainer=trainer)
        reports.append(examine(grown, schema, pod, evaluation=False))
    return reports


def _evaluation(
    experiment: config.Experiment,
    schema: Schema,
    devices: jax.sharding.Mesh,
    pod: Topology,
    parts: dict[str, int],
    limit: int,
) -> CompiledProgram:
    """What the trainer computes to evaluate, while the training state stays in memory."""
    parameters = inference_shapes(experiment, schema, devices)
    context, evaluator = (
        validation_context(experiment, devices),
        evaluator_of(experiment.model, experiment.evaluation),
    )
    infer = evaluator.inference(schema)
    place = mesh.examples_sharding(devices, experiment.evaluation.batch_size)
    batch = jax.tree.map(
        lambda each: jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=place),
        evaluator.shapes(schema),
    )

    def compute(parameters: task.Parameters, batch: Any) -> Any:
        return infer(parameters, batch, context)

    sizes = {path: _shard_bytes(array) for path, array in parameters.items()}
    # Those that are no part of the state: sparse tables, copied in the order of ids.
    copies = sum(sizes[path] for path in evaluator.model.tables(schema))
    parts = parts | {"sparse tables in the order of ids": copies}
    try:
        compiled = jax.jit(compute).lower(parameters, batch).compile()
    except jax.errors.JaxRuntimeError as error:
        return _failed(error, parts, limit)
    return _read(compiled, devices, pod, parts, sum(sizes.values()), limit)


def _read(
    compiled: Any,
    devices: jax.sharding.Mesh,
    pod: Topology,
    parts: dict[str, int],
    resident: int,
    limit: int,
) -> CompiledProgram:
    module = hlo.parse(compiled.as_text())
    found = find(module, devices.shape)
    if pod.accelerator.kernels is not None:
        # Between machines with GPUs a collective looks like any other.
        found = tuple(
            dataclasses.replace(each, network="dcn") if "slice" in each.axes else each
            for each in found
        )
    places = [tuple(getattr(device, "coords", (0,))) for device in devices.devices.flat]
    return CompiledProgram(
        usage=memory.of_program(compiled, module, parts, resident, limit),
        largest=tuple(memory.largest(module, LARGEST)),
        collectives=found,
        times=roofline.predict(module, found, pod, places, peaks(pod)),
        unknown_loops=module.unknown_loops,
        kernels=roofline.kernels(module) if pod.accelerator.kernels is not None else None,
    )


def _failed(error: Exception, parts: dict[str, int], limit: int) -> CompiledProgram:
    usage = memory.of_failure(error, parts, limit)
    if usage is None:
        raise error
    return CompiledProgram(usage, ())


def _shard_bytes(array: jax.ShapeDtypeStruct) -> int:
    assert array.sharding is not None
    return math.prod(array.sharding.shard_shape(array.shape)) * array.dtype.itemsize


def _parts(held: list[memory.Held]) -> dict[str, int]:
    parts: dict[str, int] = {}
    for holding in held:
        name = holding.name.partition(".")[0]
        parts[name] = parts.get(name, 0) + holding.bytes
    return dict(sorted(parts.items(), key=lambda part: -part[1]))
