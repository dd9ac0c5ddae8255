"""Pods by name, "v5p:4x4x8": which ones exist, and their devices for ahead-of-time compilation.

The TPU compiler accepts shapes that nobody can rent, so the legal ones are a list of our own
(framework/devices/hardware.py). It also has to be told which sides of the torus wrap around;
without that it chooses other collectives than the pod would run.
"""

import dataclasses
import importlib
import itertools
import math
import re
from typing import Any

import jax

from podway.framework.devices import hardware, libtpu, stand_in
from podway.framework.error import PodwayError, check


class TopologyError(PodwayError, ValueError):
    """No such pod, or no way to compile for it here; the message says what would do."""


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices of one kind, as they are connected.

    Attributes:
      accelerator: what one device is.
      shape: chips along each side of one slice; (n,) for n devices of a CPU or GPU machine.
      slices: pods, or machines with GPUs, that are joined by the data centre's network.
    """

    accelerator: hardware.Accelerator
    shape: tuple[int, ...]
    slices: int = 1

    def __str__(self) -> str:
        name = f"{self.accelerator.name}:{'x'.join(map(str, self.shape))}"
        return name if self.slices == 1 else f"{self.slices} × {name}"

    @property
    def chips(self) -> int:
        """Chips in all slices."""
        return math.prod(self.shape) * self.slices

    @property
    def devices(self) -> int:
        """What JAX counts, in all slices."""
        return self.chips * self.accelerator.devices_per_chip

    @property
    def islands(self) -> int:
        """Slices, or machines with GPUs: what the data centre's network joins."""
        if self.accelerator.name not in stand_in.CHIPS:
            return self.slices
        return self.slices * -(-self.shape[0] // self.accelerator.chips_per_host)

    @property
    def wrap(self) -> tuple[bool, ...]:
        """Whether each side of the torus wraps around."""
        return wrap(self.accelerator, self.shape)


def wrap(accelerator: hardware.Accelerator, shape: tuple[int, ...]) -> tuple[bool, ...]:
    """Which sides of a slice wrap around: those of 16 on v5e and v6e, all of whole cubes."""
    if accelerator.torus == "16":
        return tuple(side == 16 for side in shape)
    cube = accelerator.torus == "4" and all(side % 4 == 0 for side in shape)
    return (cube,) * len(shape)


def parse(text: str, slices: int = 1) -> Topology:
    """Reads "v5e:16x16", "cpu:8" or "gpu" (the GPUs of this machine).

    Raises TopologyError that names the nearest legal shapes.
    """
    check(slices >= 1, f"--slices is {slices}; give 1 or more")
    name, _, shape_text = text.partition(":")
    if name in ("gpu", "cuda"):
        return _of_this_machine()
    accelerator = hardware.named(name)
    if accelerator is None:
        names = ", ".join(each.name for each in hardware.ACCELERATORS if each.small)
        raise TopologyError(
            f"--topology {text}: there is no {name!r}; give one of {names} with a shape,"
            f" {', '.join(stand_in.CHIPS)} with GPUs (h200:8) or machines and GPUs (h200:2x8),"
            " cpu:8, or gpu for the GPUs of this machine"
        )
    if not re.fullmatch(r"\d+(x\d+)*", shape_text):
        raise TopologyError(f"--topology {text}: give a shape, as in {_example(accelerator)}")
    shape = tuple(map(int, shape_text.split("x")))
    if name in stand_in.CHIPS:
        return _gpus(text, accelerator, shape, slices)
    if not accelerator.small:
        if len(shape) != 1 or shape[0] < 1 or slices > 1:
            raise TopologyError(f"--topology {text}: give a number of devices, as in cpu:8")
        return Topology(accelerator, shape)
    if shape not in legal(accelerator):
        near = ", ".join("x".join(map(str, each)) for each in nearest(accelerator, shape))
        raise TopologyError(
            f"--topology {text}: {name} has no slice of {shape_text}; the nearest are {near}"
        )
    return Topology(accelerator, shape, slices)


def _gpus(
    text: str, accelerator: hardware.Accelerator, shape: tuple[int, ...], slices: int
) -> Topology:
    """GPUs, of as few machines as can be, or machines × GPUs of each."""
    most = accelerator.chips_per_host
    *rest, each = shape  # pyright: ignore[reportAssignmentType]: there is one number at least
    if len(rest) > 1 or min(shape) < 1 or (rest and slices > 1):
        raise TopologyError(
            f"--topology {text}: give GPUs, as in {accelerator.name}:{most}, or machines × GPUs, as"
            f" in {accelerator.name}:2x{most} (or --slices 2)"
        )
    if rest and each > most:
        raise TopologyError(
            f"--topology {text}: a machine has {most} GPUs at most; the nearest is"
            f" {accelerator.name}:{-(-math.prod(shape) // most)}x{most}"
        )
    return Topology(accelerator, (each,), rest[0] if rest else slices)


def legal(accelerator: hardware.Accelerator) -> list[tuple[int, ...]]:
    """All shapes of one slice, sides rising (but for 2x2x1), the small ones first."""
    shapes = list(accelerator.small)
    if accelerator.torus == "4":
        sides = range(4, accelerator.max_chips // 16 + 1, 4)
        limit = round(accelerator.max_chips ** (1 / 3)) * 2
        shapes += [
            shape
            for shape in itertools.combinations_with_replacement(
                [s for s in sides if s <= limit], 3
            )
            if math.prod(shape) <= accelerator.max_chips
        ]
    return sorted(shapes, key=math.prod)


def nearest(
    accelerator: hardware.Accelerator, shape: tuple[int, ...], count: int = 3
) -> list[tuple[int, ...]]:
    """The legal shapes with the most similar sides, the most similar first."""

    def distance(other: tuple[int, ...]) -> float:
        ours, theirs = (
            sorted(s, reverse=True) + [1] * (3 - len(s))
            for s in (tuple(map(_at_least_1, shape)), other)
        )
        return sum(abs(math.log(a / b)) for a, b in zip(ours[:3], theirs, strict=True))

    return sorted(legal(accelerator), key=distance)[:count]


def devices(topology: Topology) -> list[Any]:
    """JAX devices to build a mesh of: stand-ins for a pod that is not there, or this machine's.

    Raises TopologyError where the compiler is missing, or there are too few devices.
    """
    if topology.accelerator.small:
        return _pod(topology)
    if topology.accelerator.name in stand_in.CHIPS:
        return _present(topology) or _absent(topology)
    wanted = topology.shape[0]
    found = jax.devices("cpu" if topology.accelerator.name == "cpu" else None)
    if len(found) < wanted:
        raise TopologyError(
            f"--topology {topology}: there are {len(found)} such devices; XLA_FLAGS="
            f"--xla_force_host_platform_device_count={wanted} before the start makes that many"
        )
    return list(found[:wanted])


def _present(topology: Topology) -> list[Any]:
    """This machine's GPUs, where they are those and as many."""
    found = [each for each in jax.devices() if hardware.of(each) == topology.accelerator]
    enough = topology.slices == 1 and len(found) >= topology.devices
    return found[: topology.devices] if enough else []


def _absent(topology: Topology) -> list[Any]:
    if not stand_in.is_installed():
        raise TopologyError(
            f"--topology {topology}: compiling for GPUs that are not here needs JAX's plugin for"
            " CUDA and NVIDIA's assembler; pip install 'podway[preflight-cuda]' brings both"
        )
    if topology.devices % topology.islands:
        most = topology.accelerator.chips_per_host
        raise TopologyError(
            f"--topology {topology}: of several machines all have {most} GPUs: give a multiple of"
            f" {most}"
        )
    each = topology.devices // topology.islands
    return stand_in.devices(topology.accelerator, topology.islands, each)


def _pod(topology: Topology) -> list[Any]:
    libtpu.prepare()
    try:
        importlib.import_module("libtpu")
    except ImportError as error:
        raise TopologyError(
            "compiling for TPU needs libtpu, which is not installed;"
            " pip install 'podway[preflight]' brings it"
        ) from error
    from jax.experimental import topologies

    options: dict[str, Any] = {"num_slices": topology.slices}
    shape = topology.shape + (1,) * (3 - len(topology.shape))
    options["wrap"] = topology.wrap + (False,) * (3 - len(topology.wrap))
    if math.prod(shape) == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
    if topology.accelerator.name == "v4":
        options["chip_config_name"] = "megacore"
    name = f"{topology.accelerator.name}:{'x'.join(map(str, topology.shape))}"
    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=name, **options)
    except jax.errors.JaxRuntimeError as error:
        raise TopologyError(
            f"--topology {topology}: the TPU compiler says {str(error).splitlines()[0]}"
        ) from error
    return list(described.devices)


def here() -> Topology:
    """The devices that JAX sees. Raises TopologyError for a kind that is not in the table."""
    first = jax.devices()[0]
    if first.platform == "gpu":
        return _of_this_machine()
    if first.platform == "cpu":
        return parse(f"cpu:{jax.device_count()}")
    raise TopologyError(f"--topology: name the slice that these {first.device_kind}s are")


def _of_this_machine() -> Topology:
    found = [device for device in jax.devices() if device.platform == "gpu"]
    if not found:
        raise TopologyError("--topology gpu: JAX sees no GPU here; compiling for a GPU needs one")
    accelerator = hardware.of(found[0])
    if accelerator is None:
        known = ", ".join(each.kind for each in hardware.ACCELERATORS)
        raise TopologyError(
            f"--topology gpu: {found[0].device_kind} is not in the table of accelerators"
            f" (framework/devices/hardware.py), which has {known}"
        )
    return Topology(accelerator, (len(found),))


def _example(accelerator: hardware.Accelerator) -> str:
    shape = accelerator.small[-1] if accelerator.small else (8,)  # GPUs of a machine, or CPUs
    return f"{accelerator.name}:{'x'.join(map(str, shape))}"


def _at_least_1(side: int) -> int:
    return max(side, 1)
