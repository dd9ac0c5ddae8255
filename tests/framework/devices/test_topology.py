import importlib

import pytest

from podway.framework.devices import hardware, stand_in, topology
from podway.framework.error import PodwayError


@pytest.mark.parametrize(
    ("text", "chips", "devices", "wrap"),
    [
        ("v4:2x2x1", 4, 4, (False, False, False)),
        ("v4:4x4x8", 128, 128, (True, True, True)),
        ("v5e:1x1", 1, 1, (False, False)),
        ("v5e:8x16", 128, 128, (False, True)),
        ("v6e:16x16", 256, 256, (True, True)),
        ("v5p:16x16x24", 6144, 6144, (True, True, True)),
        ("v5p:2x4x4", 32, 32, (False, False, False)),
        ("tpu7x:2x2x2", 8, 16, (False, False, False)),
    ],
)
def test_pods_and_their_devices(text, chips, devices, wrap):
    pod = topology.parse(text)
    assert (str(pod), pod.chips, pod.devices, pod.wrap) == (text, chips, devices, wrap)
    if chips <= 256:
        assert len(topology.devices(pod)) == devices
        assert all(hardware.of(each) is pod.accelerator for each in topology.devices(pod))


@pytest.mark.parametrize(
    ("text", "slices", "shape", "machines", "devices"),
    [
        ("h200:1", 1, (1,), 1, 1),
        ("h100:8", 2, (8,), 2, 16),
        ("h100:16", 1, (16,), 2, 16),
        ("a100:4x8", 1, (8,), 4, 32),
    ],
)
def test_gpus_of_machines(text, slices, shape, machines, devices):
    pod = topology.parse(text, slices)
    assert (pod.shape, pod.islands, pod.devices) == (shape, machines, devices)


def test_slices_are_separate_pods():
    pod = topology.parse("v5e:4x4", 3)
    found = topology.devices(pod)
    assert (str(pod), len(found)) == ("3 × v5e:4x4", 48)
    assert {each.slice_index for each in found} == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v5e:3x3", "v5e has no slice of 3x3; the nearest are 4x4, 2x4, 2x2"),
        ("v5e:16x32", "the nearest are 16x16"),
        ("v5p:4x4x9", "v5p has no slice of 4x4x9; the nearest are 4x4x8, 4x4x12, 4x4x16"),
        ("v5p:16x20x28", "v5p has no slice of 16x20x28; the nearest are 16x16x24"),
        ("v5p:16x16", "the nearest are"),
        ("v5e:0x0", "the nearest are"),
        ("v9:2x2", "there is no 'v9'; give one of v4, v5e, v5p, v6e, tpu7x with a shape"),
        ("v5e", "give a shape, as in v5e:16x16"),
        ("v5e:2by2", "give a shape"),
        ("cpu:0", "give a number of devices, as in cpu:8"),
        ("cpu:2x2", "give a number of devices"),
        ("h200", "give a shape, as in h200:8"),
        ("h200:2x12", "a machine has 8 GPUs at most; the nearest is h200:3x8"),
        ("h200:2x2x2", "give GPUs, as in h200:8, or machines × GPUs, as in h200:2x8"),
        ("h200:0", "give GPUs, as in"),
    ],
)
def test_what_does_not_exist_is_an_error_that_names_what_does(text, message):
    with pytest.raises(PodwayError, match=message):
        topology.parse(text)


def test_slices_from_one_on():
    with pytest.raises(PodwayError, match="--slices is 0"):
        topology.parse("v5e:2x2", 0)


def test_without_the_compiler_the_error_names_the_extra(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(topology.TopologyError, match=r"pip install 'podway\[preflight\]'"):
        topology.devices(topology.parse("v5e:2x2"))


def test_without_the_plugin_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(stand_in, "is_installed", lambda: False)
    with pytest.raises(topology.TopologyError, match=r"pip install 'podway\[preflight-cuda\]'"):
        topology.devices(topology.parse("h200:8"))


def test_more_cpu_devices_than_there_are_is_an_error():
    with pytest.raises(topology.TopologyError, match="XLA_FLAGS="):
        topology.devices(topology.parse("cpu:4096"))
