"""What the tests of whole launches share: a volume with a config and a target, and the command."""

import os
import pathlib
import subprocess
import sys

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.nodes import Pool
from tests.launch.test_supervise import SHOP

ROOT = pathlib.Path(__file__).parents[3]
IMAGE = "registry.example/podway/{}@sha256:" + 64 * "0"
TARGET = """
from podway.launch.targets.kubernetes.target import Claim, Images, Kubernetes, Resources

def target():
    images = Images(train={0!r}, data={1!r}, export={2!r})
    return Kubernetes(
        accelerator="v5e:2x4",
        claims=(Claim("work", {3!r}),),
        images=images,
        resources=Resources("1", "1Gi"),
    )
"""


def workplace(hosts: Kubelet, slices: int) -> pathlib.Path:
    """Machines, and a volume that has the same path here and in the pods: shop.py, target.py."""
    for number in range(slices):
        hosts.add(Pool(f"slice-{number}", 2, "2x4"))
    hosts.add(Pool("cpu", 1))
    folder = hosts.claim("work", "podway")
    rows = [
        f"u{user},i{(user * 7 + time) % 40},{time}"
        for user in range(100)
        for time in range(5 + user % 9)
    ]
    (folder / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    (folder / "shop.py").write_text(SHOP.format(path=folder / "events.csv"))
    images = (IMAGE.format(name) for name in ("train", "data", "export"))
    (folder / "target.py").write_text(TARGET.format(*images, str(folder)))
    return folder


def command(folder: pathlib.Path, *options: str) -> list[str]:
    """A launch from there, which is not compiled before and asks nobody."""
    words = ["launch", str(folder / "target.py"), str(folder / "shop.py")]
    words += ["--workdir", str(folder / "w"), "--skip-preflight", "--yes", "--mesh.fsdp", "1"]
    return [*words, "--trainer.log-every", "1", *options]


def podway(plane: ControlPlane, *arguments: str) -> subprocess.Popen[str]:
    """The command of this checkout, on this cluster."""
    state = {"KUBECONFIG": str(plane.folder / "kubeconfig")}
    state["XDG_STATE_HOME"] = str(plane.folder / "state")
    return subprocess.Popen(
        [sys.executable, "-m", "podway.launch.cli", *arguments],
        env=os.environ | state,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
