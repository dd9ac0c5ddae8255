"""Node pools of TPU slices, as GKE labels and taints them, and of plain machines."""

import dataclasses

from tests.cluster.client import Client

POOL = "cloud.google.com/gke-nodepool"


@dataclasses.dataclass(frozen=True)
class Pool:
    """The hosts of a slice, or machines without accelerators.

    Attributes:
      name: of the pool.
      hosts: how many nodes it has.
      topology: of the TPU slice; None: there are no TPUs.
      accelerator: GKE's name of the TPU.
      chips: of a host.
    """

    name: str
    hosts: int
    topology: str | None = None
    accelerator: str = "tpu-v5-lite-podslice"
    chips: int = 4

    @property
    def nodes(self) -> list[str]:
        """Their names."""
        return [f"gke-{self.name}-{number}" for number in range(self.hosts)]


def add(client: Client, pool: Pool, kubelet: int) -> None:
    """Makes the nodes of a pool, ready; `kubelet`: the port of loopback where they are asked."""
    for name in pool.nodes:
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", POOL: pool.name}
        resources = {"cpu": "112", "memory": "192Gi", "pods": "110"}
        taints = []
        if pool.topology:
            labels["cloud.google.com/gke-tpu-accelerator"] = pool.accelerator
            labels["cloud.google.com/gke-tpu-topology"] = pool.topology
            resources["google.com/tpu"] = str(pool.chips)
            taints = [{"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"}]
        about = {"name": name, "labels": labels}
        client.made({"apiVersion": "v1", "kind": "Node", "metadata": about})
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet}},
            "capacity": resources,
            "allocatable": resources,
            "conditions": [ready],
        }
        client.patch(f"/api/v1/nodes/{name}/status", {"status": status})
        # The API server taints a new node as not ready, which a node controller would lift.
        client.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": taints}})


def remove(client: Client, pool: str) -> None:
    """Takes the nodes of a pool away, as GKE does with a slice whose host is preempted."""
    for node in client.items(f"/api/v1/nodes?labelSelector={POOL}%3D{pool}"):
        client.delete(f"/api/v1/nodes/{node['metadata']['name']}")
