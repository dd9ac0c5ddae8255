import pytest

from podway.framework.error import ConfigError
from podway.launch.targets.kubernetes import pools
from podway.launch.targets.kubernetes.target import Kubernetes


@pytest.mark.parametrize(
    ("accelerator", "slices", "hosts", "count", "machine", "label"),
    [
        ("v5e:1x1", 1, 1, 1, "ct5lp-hightpu-1t", "tpu-v5-lite-podslice"),
        ("v5e:2x2", 1, 1, 4, "ct5lp-hightpu-4t", "tpu-v5-lite-podslice"),
        ("v5e:2x4", 2, 2, 4, "ct5lp-hightpu-4t", "tpu-v5-lite-podslice"),
        ("v5e:16x16", 2, 64, 4, "ct5lp-hightpu-4t", "tpu-v5-lite-podslice"),
        ("v6e:4x8", 1, 8, 4, "ct6e-standard-4t", "tpu-v6e-slice"),
        ("v5p:4x4x8", 1, 32, 4, "ct5p-hightpu-4t", "tpu-v5p-slice"),
        ("v4:2x2x4", 1, 4, 4, "ct4p-hightpu-4t", "tpu-v4-podslice"),
        ("tpu7x:2x2x2", 1, 2, 4, "tpu7x-standard-4t", "tpu7x"),
    ],
)
def test_slices_of_tpus(accelerator, slices, hosts, count, machine, label):
    pool = pools.of(Kubernetes(accelerator=accelerator, slices=slices))
    assert (pool.hosts, pool.count, pool.machine) == (hosts, count, machine)
    assert pool.resource == "google.com/tpu"
    assert pool.selector["cloud.google.com/gke-tpu-accelerator"] == label
    assert pool.selector["cloud.google.com/gke-tpu-topology"] == accelerator.split(":")[1]
    assert "google.com/tpu" in pool.tolerations
    assert pool.topology.chips == slices * hosts * count


@pytest.mark.parametrize(
    ("accelerator", "hosts", "count"), [("h100:1", 1, 1), ("h100:8", 1, 8), ("a100:32", 4, 8)]
)
def test_gpus(accelerator, hosts, count):
    pool = pools.of(Kubernetes(accelerator=accelerator))
    assert (pool.hosts, pool.count, pool.resource) == (hosts, count, "nvidia.com/gpu")
    assert "cloud.google.com/gke-accelerator" in pool.selector


def test_other_clusters_have_labels_of_their_own():
    target = Kubernetes(accelerator="h100:8", provider="any", node_selector=("pool=big",))
    assert pools.of(target).selector == {"pool": "big"}


@pytest.mark.parametrize(
    ("capacity", "label"),
    [
        ("spot", "cloud.google.com/gke-spot"),
        ("flex-start", "cloud.google.com/gke-flex-start"),
        ("reserved", "cloud.google.com/reservation-name"),
    ],
)
def test_capacity_is_a_label(capacity, label):
    reservation = "ours" if capacity == "reserved" else ""
    target = Kubernetes(capacity=capacity, reservation=reservation)
    assert label in pools.of(target).selector


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"accelerator": "v9:4x4"}, r"target.accelerator is 'v9:4x4'.*v5e"),
        ({"accelerator": "v5e:3x3"}, r"target.accelerator v5e:3x3.*nearest are 4x4"),
        ({"accelerator": "v5e"}, "give a shape"),
        ({"accelerator": "h100:12"}, "multiple"),
        ({"accelerator": "h100:eight"}, "h100:8"),
        ({"accelerator": "h100:16", "slices": 2}, "all GPUs"),
        ({"accelerator": "v5e:2x2", "slices": 2}, "slices of one host"),
        ({"accelerator": "cpu:2", "slices": 2}, "number of machines"),
    ],
)
def test_what_there_is_not(fields, message):
    with pytest.raises(ConfigError, match=message):
        pools.of(Kubernetes(**fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"slices": 0}, "target.slices is 0"),
        ({"max_restarts": 0}, "lost machine"),
        ({"grace_seconds": 5}, "last save"),
        ({"capacity": "reserved"}, "target.reservation"),
        ({"reservation": "ours"}, "target.reservation"),
        ({"namespace": "My_Space"}, "target.namespace is 'My_Space'"),
        ({"node_selector": ("pool",)}, "NAME=VALUE"),
        ({"environment": ("=x",)}, "NAME=VALUE"),
    ],
)
def test_what_cannot_be(fields, message):
    with pytest.raises(ConfigError, match=message):
        Kubernetes(**fields)
