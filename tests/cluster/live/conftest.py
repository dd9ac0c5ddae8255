"""A control plane, and what runs its pods."""

from collections.abc import Iterator

import pytest

from tests.cluster import control_plane, kubelet, programs
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet


@pytest.fixture(scope="module")
def plane(tmp_path_factory) -> Iterator[ControlPlane]:
    """Real, on loopback; a machine without Go says so, one that has it must be able to build it."""
    if why := programs.missing():
        pytest.skip(f"no cluster: {why}")
    with control_plane.running(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def hosts(plane, tmp_path_factory) -> Iterator[Kubelet]:
    """Runs what is bound to a node; it must have no problem of its own."""
    with kubelet.running(plane, tmp_path_factory.mktemp("hosts")) as found:
        yield found
    assert not found.problems, found.problems[0]
