"""The TPU compiler's surroundings on a machine without a TPU. Pure Python, loads nothing."""

import glob
import os


def prepare() -> None:
    """Lets libtpu be installed where no TPU is: call it before JAX starts.

    Without this JAX, which tries all that is installed, has libtpu look for the TPU's metadata and
    complain on stderr that there are none; and a second process that compiles would be refused.
    """
    if glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*"):
        return
    for name, value in {
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "TPU_ACCELERATOR_TYPE": "v5e-1",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
    }.items():
        os.environ.setdefault(name, value)
