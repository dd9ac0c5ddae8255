"""What is said while a launch is followed, by a cluster that answers as it is told to."""

import pytest

from podway.launch.targets.kubernetes import follow, training
from podway.launch.targets.kubernetes.cluster import UnreachableError
from tests.launch.targets.kubernetes.conftest import a_launch, an_event
from tests.launch.targets.kubernetes.test_status import job_set, pod


class Looks:
    """A cluster: of each look the JobSet and its pods, or an error; the last one stays.

    Attributes:
      texts: pod → its log at each reading, or an error; the last one stays.
      since: what was asked of logs.
    """

    namespace = "podway"

    def __init__(self, *looks, texts=None, events=()):
        self._looks, self._now, self.texts = list(looks), None, texts or {}
        self.since: list[int | None] = []
        self._events = list(events)

    def get(self, version, kind, name):
        self._now = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        if isinstance(self._now, Exception):
            raise self._now
        return self._now and self._now[0]

    def list(self, version, kind, labels="", fields=""):
        assert self._now is not None
        return self._now[1] if kind == "Pod" else self._events

    def logs(self, pod, container, since=None):
        self.since.append(since)
        texts = self.texts.get(pod, [""])
        found = texts.pop(0) if len(texts) > 1 else texts[0]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture(scope="module")
def spec() -> dict:
    return training.job_set(a_launch(accelerator="v5e:4x4", slices=1))


def followed(cluster: Looks, **options) -> tuple[list[str], follow.status.Status]:
    said: list[str] = []
    end = follow.until_over(cluster, "x", say=said.append, interval=0, **options)  # type: ignore[arg-type]
    return said, end


def written(*texts: str) -> str:
    return "".join(f"2026-01-01T00:00:0{at}.5Z {text}\n" for at, text in enumerate(texts))


def complete(spec):
    return job_set(spec, done=[("data", 1), ("train", 1)], conditions=[("Completed", "")])


def test_the_last_lines_of_each_stage_are_shown(spec):
    """They come after the look that saw the stage go on, and after the one that saw it end."""
    data, train, export = (pod(role) for role in ("data", "train", "export"))
    trains, exports = [("data", 1)], [("data", 1), ("train", 1)]
    texts = {
        "x-data-0-0": [written("d1"), written("d1", "d2")],
        "x-train-0-0": [written("t1"), written("t1", "t2")],
        "x-export-0-0": [written("e1"), written("e1", "e2")],
    }
    cluster = Looks(
        (job_set(spec), [data]),
        (job_set(spec, done=trains), [train, data]),
        (job_set(spec, done=exports), [export, train, data]),
        (complete(spec), [export, train, data]),
        texts=texts,
    )
    said, end = followed(cluster)
    assert [line for line in said if len(line) == 2] == ["d1", "d2", "t1", "t2", "e1", "e2"]
    assert end.phase == "complete"


def test_a_log_is_read_once_and_then_its_end(spec):
    texts = {"x-train-0-0": [written("a"), UnreachableError("its node"), written("a", "b")]}
    looks = [(job_set(spec, done=[("data", 1)]), [pod()])] * 3
    cluster = Looks(*looks, (complete(spec), [pod()]), texts=texts)
    said, _ = followed(cluster)
    assert [line for line in said if len(line) == 1] == ["a", "b"]
    first, second, third = cluster.since[:3]
    assert first is None
    assert second == third == follow._MARGIN + 1


def test_what_goes_on_is_said_once(spec):
    waits = pod(phase="Pending", conditions=[{"reason": "Unschedulable", "status": "False"}])
    trains = job_set(spec, done=[("data", 1)])
    taken = "Pod podway/x-train-0-0 has condition DisruptionTarget matching FailJob rule at index 2"
    name = f"{spec['metadata']['name']}-train-0"
    event = an_event("Job", name, "PodFailurePolicy", taken)
    cluster = Looks(
        *[(trains, [waits])] * 3, (trains, [pod()]), (complete(spec), []), events=[event]
    )
    said, _ = followed(cluster)
    assert sum("no machine for it yet" in line for line in said) == 1
    assert sum("was taken away with its machine" in line for line in said) == 1
    assert said[-2:] == ["launch x: complete", "  all stages are complete"]


def test_a_cluster_that_does_not_answer_for_a_while(spec):
    away = UnreachableError("the cluster c does not answer")
    running = (job_set(spec, done=[("data", 1)]), [pod()])
    said, end = followed(Looks(running, away, away, running, (complete(spec), [])))
    assert end.phase == "complete"
    assert sum("c does not answer; it is asked again" in line for line in said) == 1
    assert said.count("  the cluster answers again") == 1
    with pytest.raises(UnreachableError):
        followed(Looks(running, away), patience=0.01)
    with pytest.raises(UnreachableError):
        followed(Looks(away))


def test_one_that_is_stopped_meanwhile(spec):
    stopping = (job_set(spec, done=[("data", 1)], deleted=True), [pod()])
    said, end = followed(Looks(stopping, None))
    assert end.phase == "stopped"
    assert said[-1] == "launch x: stopped"
    with pytest.raises(follow.AbsentError, match="there is no launch 'x'"):
        followed(Looks(None))
