"""With fewer slices and with all again, on a cluster that has as many machines as it is told to."""

from __future__ import annotations

import dataclasses

import pytest

from podway.framework.error import ConfigError
from podway.launch.targets.kubernetes import check, elastic, follow, held, status, training
from podway.launch.targets.kubernetes.cluster import UnreachableError
from podway.launch.targets.kubernetes.elastic import Elastic
from tests.launch.targets.kubernetes.conftest import a_launch
from tests.launch.targets.kubernetes.test_verb import run

SUBMITTED = 1_800_000_000
HOSTS = 4
LOOK = 5.0
ROLE, OF = status.ROLE, "jobset.sigs.k8s.io/jobset-name"


class Cluster:
    """Gives machines to JobSets, the first ones first, slice by slice.

    Attributes:
      machines: slices that there are.
      clock: seconds, which the code under test reads.
      stage: of the launch.
      pulls: whether images can be pulled.
      away: calls that get no answer, of those that come.
      made: what was applied, of each JobSet its name, slices, and whether another one owns it.
    """

    namespace = "podway"

    def __init__(self, launch, machines: int):
        self._launch, self.machines, self.clock = launch, machines, 1000.0
        self.stage, self.pulls, self.away = "train", True, 0
        self.sets: dict[str, dict] = {}
        self.made: list[tuple[str, int, bool]] = []
        self._uid = 0

    def apply(self, objects):
        self._answer()
        for each in objects:
            name = each["metadata"]["name"]
            self._uid += name not in self.sets
            uid = self.sets.get(name, {"metadata": {"uid": str(self._uid)}})["metadata"]["uid"]
            self.sets[name] = each | {"metadata": {**each["metadata"], "uid": uid}}
            owned = bool(each["metadata"].get("ownerReferences"))
            self.made.append((name, elastic._replicas(each), owned))

    def get(self, version, kind, name):
        self._answer()
        return self.sets.get(name)

    def find(self, wanted):
        return self.get("", "", wanted["metadata"]["name"])

    def delete(self, wanted):
        """With what it owns, as the garbage collector does."""
        self._answer()
        gone = self.sets.pop(wanted["metadata"]["name"], None)
        for name, each in [*self.sets.items()]:
            owners = [ref["uid"] for ref in each["metadata"].get("ownerReferences") or []]
            if gone and gone["metadata"]["uid"] in owners:
                del self.sets[name]

    def list(self, version, kind, labels="", fields=""):
        self._answer()
        label, value = labels.split("=")
        return [pod for pod in self.pods() if pod["metadata"]["labels"][label] == value]

    def pods(self) -> list[dict]:
        free, found = self.machines, []
        for name, each in self.sets.items():
            for number in range(elastic._replicas(each)):
                free -= 1
                found += self._slice(name, number, there=free >= 0)
        return found

    def _slice(self, name: str, number: int, *, there: bool) -> list[dict]:
        """Of one without machines the first pod alone, for which the others wait."""
        condition = {"reason": "Unschedulable", "status": "False", "message": "0/9 nodes"}
        state = {"phase": "Running" if self.pulls else "Pending", "conditions": []}
        if not there:
            state = {"phase": "Pending", "conditions": [condition]}
        labels = {
            ROLE: "train",
            "jobset.sigs.k8s.io/job-index": str(number),
            OF: name,
            held.HOLDS: self._launch.name if name.endswith("-held") else "",
        }
        return [
            {
                "metadata": {"name": f"{name}-train-{number}-{host}", "labels": labels},
                "spec": {"nodeName": "n"} if there else {},
                "status": state,
            }
            for host in range(HOSTS if there else 1)
        ]

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise UnreachableError("no answer")


class World:
    """A launch that is followed."""

    def __init__(self, monkeypatch, machines: int, slices: int = 4, sizes=(4, 2, 1)):
        self.launch = a_launch(accelerator="v5e:4x4", slices=slices)
        self.cluster = Cluster(self.launch, machines)
        self.cluster.apply([training.job_set(self.launch, SUBMITTED)])
        self.cluster.made.clear()
        monkeypatch.setattr(elastic.time, "monotonic", lambda: self.cluster.clock)
        monkeypatch.setattr(follow.time, "sleep", lambda _: None)
        self.said: list[str] = []
        self.sizes = sizes
        self.follow()

    def follow(self) -> None:
        """Somebody begins to follow it."""
        self.elastic = Elastic(self.cluster, self.launch, self.sizes, 60.0, self.said.append)  # type: ignore[arg-type]

    def looks(self, seconds: float) -> None:
        """So long it is followed."""
        for _ in range(round(seconds / LOOK)):
            self.cluster.clock += LOOK
            name = self.launch.name
            pods = [pod for pod in self.cluster.pods() if pod["metadata"]["labels"][OF] == name]
            running = sum(pod["status"]["phase"] == "Running" for pod in pods)
            wanted = elastic._replicas(self.cluster.sets[name]) * HOSTS
            phase = "running" if running == wanted else "waiting"
            self.elastic.look(status.Status(phase, self.cluster.stage, ()), pods)

    @property
    def slices(self) -> int:
        return elastic._replicas(self.cluster.sets[self.launch.name])

    @property
    def held(self) -> int:
        """Slices whose machines are asked for."""
        there = self.cluster.sets.get(held.name(self.launch))
        return elastic._replicas(there) if there else 0


@pytest.fixture
def world(monkeypatch):
    return lambda *arguments, **named: World(monkeypatch, *arguments, **named)


def test_nothing_changes_while_all_have_machines_or_wait_for_a_while(world):
    it = world(4)
    it.looks(200)
    it.cluster.machines = 3
    it.looks(55)
    it.cluster.machines = 4
    it.looks(10)
    it.cluster.machines = 3
    it.looks(55)
    assert (it.slices, it.cluster.made, it.said) == (4, [], [])


def test_it_goes_on_with_fewer_and_then_with_all(world):
    it = world(3)
    it.looks(65)
    assert it.slices == 2, "three cannot share the batch"
    assert it.said == [
        "  machines for 3 of 4 slices since 1 min 00 s: it saves, and goes on with 2"
    ]
    it.looks(300)
    assert it.held == 2
    assert it.slices == 2, "one more is there, which no size can use"
    it.cluster.machines = 4
    it.looks(5)
    assert (it.slices, it.held) == (4, 0)
    assert it.said[1:] == [
        "  machines for 2 more slices are asked for",
        "  machines for 2 more slices: it saves, and goes on with 4 of 4",
    ]
    notes = it.cluster.sets[it.launch.name]["metadata"]["annotations"]
    assert notes["podway.dev/submitted"] == str(SUBMITTED), "its account of time goes on"
    assert notes["podway.dev/hash"] == it.launch.hash, "it is the same launch"


def test_machines_that_came_are_held_until_the_launch_has_them(world):
    """Whoever else waits for machines must not get them while its processes save."""
    it = world(2)
    it.looks(70)
    it.cluster.machines = 4
    deleted = []
    delete = it.cluster.delete

    def watched(wanted):
        deleted.append(wanted["metadata"]["name"])
        delete(wanted)
        if len(deleted) == 1:
            assert it.held == 2

    it.cluster.delete = watched
    it.looks(10)
    assert deleted == [it.launch.name, held.name(it.launch)]
    assert it.slices == 4


def test_a_restart_does_not_begin_the_wait_anew(world):
    it = world(3)
    it.looks(40)
    it.cluster.stage = "data"
    it.looks(10)
    it.cluster.stage = "train"
    it.looks(20)
    assert it.slices == 2


def test_what_is_not_for_lack_of_machines_is_left(world):
    it = world(4)
    it.cluster.pulls = False
    it.looks(300)
    assert (it.slices, it.cluster.made) == (4, [])


def test_too_few_for_any_size_are_waited_for(world):
    it = world(1, sizes=(4, 2))
    it.looks(300)
    assert it.slices == 4
    assert it.said == ["  machines for 1 of 4 slices, for too few to go on"]
    it.cluster.machines = 2
    it.looks(20)
    assert it.slices == 2


def test_a_number_that_changes_is_waited_out(world):
    it = world(1)
    it.looks(55)
    it.cluster.machines = 3
    it.looks(10)
    assert it.slices == 4
    it.looks(20)
    assert it.slices == 2


def test_machines_that_come_and_go_are_asked_for_less_often(world):
    it = world(4)
    asked = []
    for _ in range(4):
        it.looks(10)
        it.cluster.machines = 2
        it.looks(65)
        began = it.cluster.clock
        while not it.held:
            it.looks(LOOK)
        asked.append(it.cluster.clock - began)
        it.cluster.machines = 4
        it.looks(10)
        assert it.slices == 4
    assert asked[0] <= 2 * LOOK
    assert asked[1] + 50 < asked[2] + 2 * LOOK
    assert asked[2] + 110 < asked[3] + 2 * LOOK


def test_who_follows_again_goes_on_with_it(world):
    it = world(2)
    it.looks(70)
    assert (it.slices, it.held) == (2, 2)
    it.follow()
    it.cluster.machines = 4
    it.looks(10)
    assert (it.slices, it.held) == (4, 0)


def test_what_is_held_for_nobody_is_let_go(world):
    """Who followed was killed while the launch was made anew."""
    it = world(4)
    it.cluster.apply([held.job_set(it.launch, 2, "")])
    it.looks(10)
    assert it.held == 0


def test_nothing_is_held_for_what_has_trained(world):
    it = world(2)
    it.looks(70)
    assert it.held == 2
    it.cluster.stage = "export"
    it.looks(5)
    assert (it.slices, it.held) == (2, 0)


def test_a_cluster_that_does_not_answer_for_a_while(world):
    """Before anything has changed nothing is done; from then on it is done to the end."""
    for silent in range(6):
        it = world(2)
        it.looks(60)
        it.cluster.away = silent
        it.looks(10)
        it.cluster.away = 0
        it.looks(10)
        assert it.slices == 2, silent
        assert it.held == 2, silent


def test_what_holds_machines_asks_for_the_same_as_the_launch():
    launch = a_launch(accelerator="v5e:4x4", slices=4, capacity="spot", queue="q", priority="p")
    mine, its = held.job_set(launch, 2, "u"), training.job_set(launch)
    train = next(job for job in its["spec"]["replicatedJobs"] if job["name"] == "train")
    (holds,) = mine["spec"]["replicatedJobs"]
    assert holds["template"]["metadata"] == train["template"]["metadata"]
    one, other = (each["template"]["spec"]["template"]["spec"] for each in (holds, train))
    for field in ("nodeSelector", "tolerations", "priorityClassName"):
        assert one[field] == other[field]
    assert one["containers"][0]["resources"] == other["containers"][0]["resources"]
    label = "kueue.x-k8s.io/queue-name"
    assert mine["metadata"]["labels"][label] == its["metadata"]["labels"][label]
    assert check.problems([mine]) == []
    assert mine["metadata"]["labels"].get("app.kubernetes.io/managed-by") != "podway"


def test_the_name_of_what_is_held_is_its_own():
    long = dataclasses.replace(a_launch(), given_name="a" * 40)
    assert len(held.name(long)) <= 40
    assert held.name(long) != long.name


ELASTIC = ("kubernetes", "movielens_sasrec", "--skip-preflight", "--dry-run", "--elastic")


def test_the_plan_says_with_how_many_it_goes_on(capsys):
    given = ("--target.accelerator", "v5e:4x4", "--target.slices", "4")
    _, _, err = run(capsys, *ELASTIC, *given)
    assert "  elastic    4 slices; 2 or 1 while there are machines for no more" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--target.slices", "1"), "--elastic is for several slices; target.slices is 1"),
        (("--target.slices", "2", "--detach"), "done by who follows the launch; leave out --det"),
        (("--target.slices", "2", "--elastic-after", "0"), "--elastic-after is 0; give seconds"),
        (("--target.slices", "2", "--elastic-after", "nan"), "--elastic-after is nan; give sec"),
        (
            ("--target.slices", "2", "--mesh.slice", "2", "--mesh.data", "16"),
            "no number of slices below 2 can train it",
        ),
        (("--target.slices", "3"), "target.slices 3: trainer.batch_size = 64 is no multiple of"),
    ],
)
def test_what_cannot_be_elastic_is_refused(capsys, options, said):
    code, _, err = run(capsys, *ELASTIC, "--target.accelerator", "v5e:4x4", *options)
    assert code in (1, 2)
    assert said in err


def test_sizes_of_slices_are_those_that_the_mesh_has():
    from podway.launch import elastic as local
    from tests.launch.test_elastic import experiment

    assert local.sizes(experiment(48), 3, 16, "slices") == [3, 1]
    with pytest.raises(ConfigError, match="--elastic: no number of slices below 4"):
        local.sizes(experiment(64, slice=4, data=4), 4, 4, "slices", "target.slices")
