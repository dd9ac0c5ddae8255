import dataclasses
import itertools

import pytest

from podway.framework.devices import topology
from podway.framework.preflight import hlo, roofline
from podway.framework.preflight.collectives import Collective


def collective(kind, members, network="ici"):
    return Collective(
        kind, ("a",), len(members), tuple(members), "f32[1]", 1_000_000, 2, network, ""
    )


def places(pod, members):
    every = list(itertools.product(*map(range, pod.shape)))
    return [every[member] for member in members]


@pytest.mark.parametrize(
    ("pod", "kind", "members", "seconds"),
    [
        # 15 MB over both directions of a ring of 16 links of 50 GB/s.
        ("v5e:16x16", "all-gather", range(16), 15e6 / 100e9),
        # Half a side is a line: one direction.
        ("v5e:16x16", "all-gather", range(8), 7e6 / 50e9),
        # The whole pod: two rings, four links.
        ("v5e:16x16", "reduce-scatter", range(256), 1e6 * 255 / 256 / 200e9),
        ("v5e:4x4", "all-reduce", range(16), 2e6 * 15 / 16 / 100e9),
        # Half of a ring's bytes cross its middle, over two links each way.
        ("v5e:16x16", "all-to-all", range(16), 16 * 1e6 / (8 * 50e9)),
        ("v5e:4x4", "all-to-all", range(4), 4 * 1e6 / (4 * 50e9)),
        ("v5p:4x4x4", "all-reduce", range(64), 2e6 * 63 / 64 / 600e9),
        ("v5p:4x4x4", "collective-permute", range(2), 1e6 / 100e9),
        # Devices in a diagonal use no side of their own.
        ("v5e:4x4", "all-gather", (0, 5, 10, 15), 3e6 / 50e9),
        ("h100", "all-gather", range(8), 7e6 / 450e9),
    ],
)
def test_a_collective_takes_its_bytes_over_the_links_of_its_group(pod, kind, members, seconds):
    accelerator = topology.hardware.named(pod)
    pod = topology.Topology(accelerator, (8,)) if accelerator else topology.parse(pod)
    each = collective(kind, members)
    assert roofline.ici_seconds(each, pod, places(pod, members)) == pytest.approx(seconds)


TEXT = """ENTRY %main (a: bf16[512,1024], b: bf16[1024,256]) -> bf16[512,256] {
  %a = bf16[512,1024]{1,0} parameter(0)
  %b = bf16[1024,256]{1,0} parameter(1)
  %c = bf16[512,256]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %d = bf16[512,256]{1,0} negate(%c)
}
"""


def test_an_instruction_takes_the_longer_of_products_and_memory():
    pod = topology.parse("v5e:4x4")
    times = roofline.predict(hlo.parse(TEXT), [collective("all-gather", range(4))], pod, PLACES)
    flops, product = 2 * 512 * 1024 * 256, 2 * (512 * 1024 + 1024 * 256 + 512 * 256)
    negation = 2 * 2 * 512 * 256
    assert times.compute == pytest.approx(flops / 197e12)
    assert times.memory == pytest.approx((product + negation) / 819e9)
    assert times.chip == pytest.approx(max(flops / 197e12, product / 819e9) + negation / 819e9)
    assert times.ici == pytest.approx(2 * 3e6 / 50e9)
    assert times.dcn == 0
    assert times.serial == pytest.approx(times.chip + times.ici)
    assert times.overlapped == times.ici
    assert times.bound == "ici"


def test_a_kernel_takes_what_was_measured_of_the_peaks_and_a_start():
    pod = topology.parse("h200:1")
    times = roofline.predict(hlo.parse(TEXT), [], pod, [(0,)])
    flops, product = 2 * 512 * 1024 * 256, 2 * (512 * 1024 + 1024 * 256 + 512 * 256)
    assert max(flops / 989e12 / 0.667, product / 4800e9 / 1.25) < 3.5e-6
    assert times.chip == pytest.approx(2 * 3.5e-6)
    large = TEXT.replace("512", "51200")
    times = roofline.predict(hlo.parse(large), [], pod, [(0,)])
    assert times.chip == pytest.approx(
        100 * flops / 989e12 / 0.667 + 2 * 2 * 51200 * 256 / 4800e9 / 0.9
    )
    assert roofline.kernels(hlo.parse(large)) == 2


def test_between_slices_there_is_a_time_where_a_bandwidth_is_known():
    sent = [collective("all-reduce", (0, 1), "dcn")]
    pod = topology.parse("v5e:4x4", 2)
    times = roofline.predict(hlo.parse(TEXT), sent, pod, PLACES)
    assert times.dcn == pytest.approx(2 * 1e6 / 3.125e9)
    unknown = dataclasses.replace(pod.accelerator, dcn_bandwidth=None)
    pod = dataclasses.replace(pod, accelerator=unknown)
    times = roofline.predict(hlo.parse(TEXT), sent, pod, PLACES)
    assert (times.dcn, times.serial, times.bound) == (None, None, "dcn")


PLACES = list(itertools.product(range(4), range(4)))
