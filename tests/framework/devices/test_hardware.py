import jax
import pytest

from podway.framework.devices import hardware


def test_every_accelerator_says_where_its_figures_come_from():
    names = [each.name for each in hardware.ACCELERATORS]
    assert names == ["v4", "v5e", "v5p", "v6e", "tpu7x", "a100", "h100", "h200", "cpu"]
    for each in hardware.ACCELERATORS:
        assert each.sources
        assert each.hbm_bandwidth > each.ici_bandwidth


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v4", "v4"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("Something else", None),
    ],
)
def test_the_longest_kind_that_matches_counts(kind, name):
    class Device:
        device_kind = kind

    found = hardware.of(Device())
    assert (found.name if found else None) == name


def test_peak_of_this_machine_is_plausible():
    device = jax.devices()[0]
    assert 1e8 < hardware.peak_flops(device) < 1e17
    assert hardware.memory(device) > 1 << 28
