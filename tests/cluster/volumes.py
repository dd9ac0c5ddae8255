"""Volumes that several pods share, bound as a cluster's storage would have bound them."""

from typing import Any

from tests.cluster.client import Client


def make_claim(client: Client, space: str, name: str) -> None:
    """A PersistentVolumeClaim with its volume, and its namespace, unless they are there."""
    if client.get(f"/api/v1/namespaces/{space}") is None:
        client.made({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
    if client.get(f"/api/v1/namespaces/{space}/persistentvolumeclaims/{name}") is not None:
        return
    volume, size = f"{space}-{name}", {"storage": "100Gi"}
    of_both: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    claim = client.made(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": name,
                "namespace": space,
                # What the controller of volumes says, which does not run here.
                "annotations": {"pv.kubernetes.io/bind-completed": "yes"},
            },
            "spec": of_both | {"volumeName": volume, "resources": {"requests": size}},
        }
    )
    owner = {"kind": "PersistentVolumeClaim", "namespace": space, "name": name}
    owner["uid"] = claim["metadata"]["uid"]
    client.made(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": of_both
            | {"capacity": size, "claimRef": owner, "hostPath": {"path": f"/volumes/{volume}"}},
        }
    )
