"""A real API server, scheduler and JobSet: what they take, where pods land, and what ends a run."""

import pytest

from tests.cluster import manifests, planted, planted_custom
from tests.cluster.live import jobsets
from tests.cluster.nodes import Pool

pytestmark = pytest.mark.extensive

TOPOLOGY = "4x4"


@pytest.fixture(scope="module", autouse=True)
def _pools(hosts) -> None:
    for number in range(6):
        hosts.add(Pool(f"v5e-{number}", 4, TOPOLOGY))


def told(folder) -> dict:
    """A container that runs until a file of its attempt says the exit code."""
    attempt = "metadata.labels['jobset.sigs.k8s.io/restart-attempt']"
    wait = f"while [ ! -s {folder}/$ATTEMPT ]; do sleep 0.1; done; exit $(cat {folder}/$ATTEMPT)"
    return {
        "command": ["sh", "-c", wait],
        "env": [{"name": "ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": attempt}}}],
    }


@pytest.mark.parametrize("make", manifests.GOOD)
def test_what_is_right_is_taken(plane, make):
    status, answer = plane.client.create(make(), dry_run=True)
    assert status == 201, answer


@pytest.mark.parametrize(
    "error",
    [*planted.BUILTIN, *planted_custom.CUSTOM, *planted_custom.WEBHOOK],
    ids=lambda error: error.name,
)
def test_what_is_planted_is_refused(plane, error):
    """Which shows that these are errors, and not only what the checker takes for one."""
    status, answer = plane.client.create(error.manifest, dry_run=True)
    assert status in (400, 403, 422), answer


@pytest.mark.parametrize("error", planted_custom.SILENT, ids=lambda error: error.name)
def test_what_only_the_checker_refuses_is_taken(plane, error):
    status, answer = plane.client.create(error.manifest, dry_run=True)
    assert status == 201, answer


def test_each_slice_gets_a_pool_and_what_ends_a_process_decides_what_follows(
    plane, hosts, tmp_path
):
    client = plane.client
    client.made(jobsets.make("decide", 2, 4, **told(tmp_path)))
    found = plane.wait("8 pods", jobsets.running(client, "decide", 8))
    placed = jobsets.pools(found)
    assert len(placed) == 2
    assert all(len(pools) == 1 for pools in placed.values())
    assert placed["0"] != placed["1"]

    (pool,) = placed["1"]
    assert len(hosts.take(pool)) == 4
    plane.wait("a restart", lambda: jobsets.status(client, "decide").get("restarts") == 1)
    found = plane.wait("8 pods", jobsets.running(client, "decide", 8))
    assert {pool} not in jobsets.pools(found).values()
    counted = jobsets.status(client, "decide").get("restartsCountTowardsMax", 0)
    assert counted == 0, "a preemption uses up no restart"

    (tmp_path / "1").write_text("75")
    plane.wait("a restart", lambda: jobsets.status(client, "decide").get("restarts") == 2)
    plane.wait("8 pods", jobsets.running(client, "decide", 8))
    assert jobsets.status(client, "decide")["restartsCountTowardsMax"] == 1

    (tmp_path / "2").write_text("1")
    assert plane.wait("the end", lambda: jobsets.ended(client, "decide")) == "Failed"
    assert jobsets.status(client, "decide")["restarts"] == 2


def test_an_api_server_has_the_logs(plane, hosts):
    said = ["sh", "-c", "echo one; echo two >&2; echo three"]
    made = jobsets.make("said", 1, 1, command=said)
    plane.client.made(made)
    plane.wait("the end", lambda: jobsets.ended(plane.client, "said"))
    name = next(name for name in hosts.logs() if name.startswith("said-"))
    path = f"/api/v1/namespaces/default/pods/{name}/log"
    assert plane.client.request("GET", f"{path}?tailLines=2")[1]["message"] == "two\nthree\n"
    (line,) = plane.client.request("GET", f"{path}?tailLines=1&timestamps=true")[1][
        "message"
    ].splitlines()
    assert line.endswith("Z three")


def test_a_saved_state_and_exit_code_0_would_be_the_end(plane, hosts, tmp_path):
    """Why a preempted trainer exits with a code of its own."""
    stop = ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"]
    made = jobsets.make("zero", 1, 4, command=stop)
    del made["spec"]["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]
    plane.client.made(made)
    found = plane.wait("4 pods", jobsets.running(plane.client, "zero", 4))
    for pod in found:
        plane.client.delete(plane.client.path({"apiVersion": "v1", "kind": "Pod", **pod}))
    assert plane.wait("the end", lambda: jobsets.ended(plane.client, "zero")) == "Completed"


def test_what_fits_nowhere_says_why(plane):
    made = jobsets.make("nowhere", 1, 4)
    jobsets.pods(made)["nodeSelector"]["cloud.google.com/gke-tpu-topology"] = "16x16"
    plane.client.made(made)

    def why() -> list[str]:
        label = "jobset.sigs.k8s.io/jobset-name%3Dnowhere"
        return [
            each["message"]
            for pod in plane.client.items(f"/api/v1/pods?labelSelector={label}")
            for each in pod["status"].get("conditions", [])
            if each.get("reason") == "Unschedulable"
        ]

    assert "didn't match Pod's node affinity/selector" in plane.wait("a reason", why)[0]
    plane.client.delete(f"{jobsets.PATH}/nowhere")


def test_a_budget_keeps_one_of_two_servers(plane, hosts):
    client = plane.client
    hosts.add(Pool("cpu", 2))
    deployment = manifests.deployment()
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    server["command"] = ["sleep", "600"]
    for made in (deployment, manifests.budget()):
        client.made(made)
    label = "podway.dev/model%3Dsasrec"

    def pods() -> list[dict]:
        found = client.items(f"/api/v1/pods?labelSelector={label}")
        return [pod for pod in found if pod["status"].get("phase") == "Running"]

    def budget() -> int | None:
        path = client.path(manifests.budget())
        return (client.get(path) or {}).get("status", {}).get("disruptionsAllowed")

    plane.wait("two servers", lambda: len(pods()) == 2)
    plane.wait("the budget", budget)
    answers = []
    for pod in pods():
        name, space = pod["metadata"]["name"], pod["metadata"]["namespace"]
        about = {"metadata": {"name": name, "namespace": space}}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", **about}
        path = f"/api/v1/namespaces/{space}/pods/{name}/eviction"
        answers.append(client.request("POST", path, eviction)[0])
    assert answers == [201, 429]
