"""`podway jobs`, `logs` and `stop` of launches on a cluster, which answers as it is told to."""

import pytest

from podway.launch.jobs import kubernetes
from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import follow, training
from tests.launch.jobs.test_account import SUBMITTED, a_session
from tests.launch.targets.kubernetes.conftest import a_launch
from tests.launch.targets.kubernetes.test_status import job_set, pod


class Namespace:
    """Launches and their pods; one that was deleted is gone after a look."""

    namespace = "lab"

    def __init__(self, *sets, pods=(), texts=None):
        self.sets, self.pods, self.texts = list(sets), list(pods), texts or {}

    def get(self, version, kind, name):
        found = next((each for each in self.sets if each["metadata"]["name"] == name), None)
        if found is not None and found["metadata"].get("deletionTimestamp"):
            self.sets.remove(found)
        return found

    def find(self, wanted):
        return self.get(wanted["apiVersion"], wanted["kind"], wanted["metadata"]["name"])

    def list(self, version, kind, labels="", fields=""):
        return {"JobSet": self.sets, "Pod": self.pods}.get(kind, [])

    def delete(self, wanted):
        found = self.find(wanted)
        assert found is not None
        found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return True

    def logs(self, pod, container, since=None, tail=0):
        lines = self.texts[pod].splitlines()
        return "\n".join(lines[-tail:] if tail else lines)


def a_set(workdir, **state) -> dict:
    """The JobSet of a launch on this workdir."""
    found = job_set(training.job_set(a_launch(accelerator="v5e:4x4"), 1), **state)
    notes = {"experiment": "shop", "workdir": str(workdir), "submitted": str(SUBMITTED)}
    found["metadata"]["annotations"] = {f"podway.dev/{key}": each for key, each in notes.items()}
    return found


def test_goodput_is_listed_where_the_run_can_be_read(tmp_path):
    a_session(tmp_path, "a", SUBMITTED, 7)
    here, away = a_set(tmp_path, done=[("data", 1)]), a_set("/not/here")
    alien = a_set(tmp_path)
    del alien["metadata"]["annotations"]
    cluster = Namespace(here, away, alien, pods=[pod(index=at) for at in range(4)])
    rows = kubernetes.rows(cluster)  # type: ignore[arg-type]
    assert [row["goodput"][-2:] for row in rows] == [" %", "", ""]
    assert [row["phase"] for row in rows] == ["running"] * 3


def test_it_is_told_at_the_end_of_a_launch(tmp_path, capsys):
    a_session(tmp_path, "a", SUBMITTED, 7)
    found = a_set(tmp_path, conditions=[("Completed", "")])
    name = found["metadata"]["name"]
    end = kubernetes.follow_to_end(Namespace(found), name)  # type: ignore[arg-type]
    assert end is not None
    assert end.phase == "complete"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("  goodput ")
    assert last.endswith("in 1 session; 1 min 00 s of waiting for machines are not in it")


@pytest.mark.parametrize(
    ("saved", "where"), [(True, "step 1,234, which is saved"), (False, "its last save")]
)
def test_a_stop_says_where_it_goes_on(tmp_path, capsys, monkeypatch, saved, where):
    a_session(tmp_path, "a", SUBMITTED, 1234, saved=saved)
    found = a_set(tmp_path, done=[("data", 1)])
    name = found["metadata"]["name"]
    monkeypatch.setattr(follow.time, "sleep", lambda _: None)
    kubernetes.stop(Namespace(found), name, wait=True)  # type: ignore[arg-type]
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: its processes save, and end",
        f"{name}: stopped; the same `podway launch` goes on from {where}",
    ]


def test_what_is_over_is_taken_off_the_list(tmp_path, capsys):
    found = a_set(tmp_path, conditions=[("Completed", "")])
    cluster, name = Namespace(found), found["metadata"]["name"]
    kubernetes.stop(cluster, name, wait=True)  # type: ignore[arg-type]
    said = f"{name} does not run: complete; the cluster no longer lists it\n"
    assert capsys.readouterr().out == said
    assert found["metadata"]["deletionTimestamp"]


def test_the_last_lines_of_one_that_is_complete_are_the_exports(tmp_path, capsys):
    found = a_set(tmp_path, conditions=[("Completed", "")])
    pods = [pod("train"), pod("export")]
    for each in pods:
        each["spec"] = {"containers": [{"name": "x"}]}
    cluster = Namespace(found, pods=pods, texts={"x-export-0-0": "2026Z one\n2026Z two"})
    kubernetes.logs(cluster, found["metadata"]["name"], "", 1)  # type: ignore[arg-type]
    assert capsys.readouterr().out == "two\n"
    with pytest.raises(LaunchError, match="there are: x-export-0-0, x-train-0-0"):
        kubernetes.logs(cluster, found["metadata"]["name"], "x-data-0-0", 1)  # type: ignore[arg-type]
