"""A step's time, predicted from its compiled program and the makers' peaks (docs/preflight.md).

Each scheduled instruction takes the longer of its products at peak FLOP/s and its memory traffic
at peak bandwidth; each collective takes its bytes at the bandwidth of the links that its group can
use. Nothing has been timed: latencies, vector units and stragglers are left out, so that a real
step is slower. Of a GPU it is known what kernels reach (hardware.Kernels), and that counts.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from podway.framework.devices.hardware import Accelerator, Kernels
from podway.framework.devices.topology import Topology
from podway.framework.preflight import hlo, work
from podway.framework.preflight.collectives import Collective


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of one step on one device, by what takes them.

    Attributes:
      compute: all products at peak FLOP/s.
      memory: all memory traffic at peak bandwidth.
      chip: instruction by instruction the longer of the two.
      ici: collectives inside a slice.
      dcn: collectives between slices; None where the table has no bandwidth for them.
    """

    compute: float
    memory: float
    chip: float
    ici: float
    dcn: float | None

    @property
    def serial(self) -> float | None:
        """Nothing overlaps: chip, then ICI, then DCN."""
        return None if self.dcn is None else self.chip + self.ici + self.dcn

    @property
    def overlapped(self) -> float | None:
        """All overlaps: the longest of them."""
        return None if self.dcn is None else max(self.chip, self.ici, self.dcn)

    @property
    def bound(self) -> str:
        """What takes longest: "compute", "memory", "ici" or "dcn"."""
        parts = {
            "compute": self.compute,
            "memory": self.memory,
            "ici": self.ici,
            "dcn": math.inf if self.dcn is None else self.dcn,
        }
        return max(parts, key=lambda name: parts[name])


def predict(
    module: hlo.Module,
    collectives: Iterable[Collective],
    topology: Topology,
    coordinates: Sequence[tuple[int, ...]],
    peak_flops: dict[str, float] | None = None,
) -> Times:
    """Predicts one step.

    Args:
      module: the program of one device.
      collectives: those in it.
      topology: what it was compiled for.
      coordinates: place in the torus of each device of the mesh, in the mesh's order.
      peak_flops: by type, where the table has none (a CPU).
    """
    accelerator = topology.accelerator
    peaks = peak_flops or accelerator.peak_flops
    compute = memory = chip = 0.0
    for piece in work.pieces(module):
        products = piece.flops / peaks.get(piece.dtype, peaks["bf16"])
        traffic = piece.bytes / accelerator.hbm_bandwidth
        compute, memory = compute + products, memory + traffic
        chip += _piece_seconds(piece, products, traffic, accelerator.kernels)
    ici, dcn = 0.0, 0.0
    for collective in collectives:
        if collective.network == "ici":
            places = [coordinates[member] for member in collective.members]
            ici += collective.times * ici_seconds(collective, topology, places)
        elif accelerator.dcn_bandwidth is None:
            return Times(compute, memory, chip, ici, None)
        else:
            dcn += collective.wire_bytes / accelerator.dcn_bandwidth
    return Times(compute, memory, chip, ici, dcn)


def _piece_seconds(
    piece: work.Piece, products: float, traffic: float, reached: Kernels | None
) -> float:
    """All runs of an instruction, given what they take at the peaks."""
    if reached is None:
        return max(products, traffic)
    stays = piece.bytes / piece.times < reached.cache
    traffic /= reached.cached if stays else reached.bandwidth
    return max(products / reached.products, traffic, piece.times * reached.seconds)


def kernels(module: hlo.Module) -> int:
    """Kernels that a GPU starts in one run."""
    return round(sum(piece.times for piece in work.pieces(module)))


def ici_seconds(
    collective: Collective, topology: Topology, places: Sequence[tuple[int, ...]]
) -> float:
    """One run of a collective inside a slice.

    Rings: the bytes that a device sends, over all links that lead along the sides that the group
    extends over: two a side that it goes round, one a side that it does not. All-to-all: half of
    all bytes cross the middle of each side, k·operand/(8·bandwidth) for a ring of k, twice that for
    a line. A permute goes over one link. A switch (GPUs) is one link of full bandwidth.

    Args:
      collective: what is sent.
      topology: where.
      places: coordinates of the devices of one group.
    """
    accelerator = topology.accelerator
    bandwidth = accelerator.ici_bandwidth / accelerator.devices_per_chip
    once = collective.wire_bytes / collective.times if collective.times else 0.0
    if not accelerator.ici_dimensions or collective.kind.startswith("collective-"):
        return once / bandwidth
    sides = _sides(topology, places)
    if collective.kind in ("all-to-all", "ragged-all-to-all"):
        return max(
            (size * collective.bytes / ((8 if ring else 4) * bandwidth) for size, ring in sides),
            default=once / bandwidth,
        )
    links = sum(2 if ring else 1 for _, ring in sides)
    return once / (bandwidth * max(links, 1))


def _sides(topology: Topology, places: Sequence[tuple[int, ...]]) -> list[tuple[int, bool]]:
    """(devices along it, whether they form a ring) of each side of the torus that a group uses.

    One line of all its devices, where they form no cuboid.
    """
    sides = []
    chips = 1
    for axis, (length, wraps) in enumerate(zip(topology.shape, topology.wrap, strict=True)):
        found = len({place[axis] for place in places})
        chips *= found
        if found > 1:
            sides.append((found, wraps and found == length))
    if chips * topology.accelerator.devices_per_chip < len(places) or chips > len(places):
        return [(len(places), False)]
    return sides


def mfu(model_flops: float, seconds: float, devices: int, accelerator: Accelerator) -> float:
    """Model FLOPs utilisation against the bf16 peak (Chowdhery et al. 2022, arXiv:2204.02311)."""
    return model_flops / (seconds * devices * accelerator.peak_flops["bf16"])
