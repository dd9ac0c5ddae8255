import jax
import numpy as np
import pytest

from podway.framework import config
from podway.framework.devices import mesh
from podway.framework.error import ConfigError


def test_axes_take_what_they_are_given_and_data_takes_the_rest():
    assert mesh.shape(config.Mesh(fsdp=4), 16) == {"slice": 1, "data": 4, "fsdp": 4, "tensor": 1}
    assert mesh.shape(config.Mesh(fsdp=4, tensor=2), 32, slices=2) == {
        "slice": 2,
        "data": 2,
        "fsdp": 4,
        "tensor": 2,
    }
    assert mesh.shape(config.Mesh(data=2, slice=2), 8)["slice"] == 2, "for trying slices out"


@pytest.mark.parametrize(
    ("options", "devices", "slices", "message"),
    [
        ({"data": 9}, 8, 1, r"= 1 × 9 × 1 × 1 asks for 9 devices; there are 8"),
        ({"fsdp": 9}, 8, 1, r"= 1 × 1 × 9 × 1 asks for 9 devices; there are 8"),
        ({"tensor": 3}, 8, 1, r"= 1 × data × 1 × 3 does not divide the 8 devices"),
        ({"slice": 3}, 8, 2, r"mesh\.slice is 3; the devices are in 2 slices"),
    ],
)
def test_a_mesh_that_the_devices_cannot_make_is_an_error(options, devices, slices, message):
    with pytest.raises(ConfigError, match=message):
        mesh.shape(config.Mesh(**options), devices, slices)


class Device:
    """As much of a device as the layout of a mesh looks at."""

    platform, device_kind = "gpu", "none"

    def __init__(self, id: int, slice_index: int):
        self.id, self.slice_index, self.process_index = id, slice_index, id

    def __repr__(self):
        return f"{self.slice_index}:{self.id}"


def test_slices_lie_along_the_first_axis():
    devices = [Device(id, slice_index) for id in range(4) for slice_index in (1, 0)]
    built = mesh.build(config.Mesh(fsdp=2, tensor=2), devices)
    assert dict(built.shape) == {"slice": 2, "data": 1, "fsdp": 2, "tensor": 2}
    found = np.vectorize(lambda device: device.slice_index)(built.devices)
    assert (found == np.array([0, 1])[:, None, None, None]).all()
    with pytest.raises(ConfigError, match="leaves devices of 2 slices out"):
        mesh.build(config.Mesh(data=1, fsdp=2), devices)


def test_machines_that_devices_do_not_know_of_lie_along_it_too():
    devices = [Device(id, 0) for id in range(8)]
    built = mesh.build(config.Mesh(fsdp=2), devices, 2)
    assert dict(built.shape) == {"slice": 2, "data": 2, "fsdp": 2, "tensor": 1}
    found = np.vectorize(lambda device: device.id)(built.devices)
    assert (found // 4 == np.array([0, 1])[:, None, None, None]).all()


def test_a_batch_must_divide_among_the_devices_that_share_it():
    grid = np.array([jax.devices()[0]] * 8).reshape(1, 2, 2, 2)
    eight = jax.sharding.Mesh(grid, mesh.AXES)
    mesh.check_batch(eight, 12, 3)
    with pytest.raises(ConfigError, match=r"trainer\.batch_size = 12 does not divide among the 4"):
        mesh.check_batch(eight, 12, 2)
