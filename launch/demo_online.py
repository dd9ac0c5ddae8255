"""`make demo-online`: users whose taste changes, services that are killed, a model that follows.

usage: python -m podway.launch.demo_online [--workdir workdir]

Everything but the users is real, and all of it runs on this machine: each step is a command that
you could type, and is shown as such. Simulated users ask the gateway, take what pleases them, and
tell the queue; nearline keeps their histories; the lander writes raw shards; `podway loop` makes
the next version of them. Then taste changes, and every service is killed once.
"""

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Sequence

from podway.framework.error import PodwayError
from podway.framework.page import text
from podway.launch import console, experiments
from podway.launch.demo_mlops import podway, say
from podway.launch.simulation import measure
from podway.launch.simulation.clients import Asked, Told, coming, landed
from podway.launch.simulation.measure import Visit
from podway.launch.simulation.running import Up
from podway.launch.simulation.visits import Visits
from podway.launch.simulation.world import World
from podway.launch.up import plan

BEFORE, AFTER, CYCLE = "before", "taste has changed", "meanwhile trained again"
FOLLOWED = "with the new version"
SERVICES = ("lander", "nearline", "gateway", "model")
"""Each is killed once; SIGKILL, so that none can tidy up."""
CONFIG = '''"""A small recommender of users whose taste changes within minutes."""

from podway.framework.config import (
    Columns, Data, Experiment, Gate, Latency, Limits, Loop, NotWorse, OneOf, Parquet, Rollout, Size,
    Trainer,
)
from podway.framework.config.online import Gateway, Lander, Online
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    return Experiment(
        name="demo_online",
        data=Data(
            name="demo_online",
            path=RAW,
            format=Parquet(),
            columns=Columns(id="id"),
            where=(OneOf("type", ("play",)),),
            min_user_events=3,
            min_item_events=1,
        ),
        model=SasRec(width=32, blocks=1, max_length=32),
        optimizer=AdamW(learning_rate=4e-3, warmup_steps=50),
        trainer=Trainer(steps=400, batch_size=128, crop="random", evaluate_every=200),
        # New files are enough to begin. Taste that changes is drift, and no fault.
        loop=Loop(
            every=0.0,
            steps=300,
            limits=Limits(psi=10.0, js=1.0, new_values=1.0, examples=0.0, vocabulary=1e9),
        ),
        gate=Gate(rules=(NotWorse("ndcg@10", margin=0.1), Latency(ratio=3.0), Size(ratio=1.5))),
        rollout=Rollout(
            shares=(0.3,),
            requests=100,
            shortest_seconds=2.0,
            interval_seconds=0.5,
            client_seconds=1.5,
            score_margin=None,
            slow_margin=0.3,
        ),
        online=Online(gateway=Gateway(k=10, cache_seconds=0.0), lander=Lander(seconds=3.0)),
    )
'''


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is shown, and at which size.

    Attributes:
      config: text of the experiment's file; RAW stands for the lander's folder.
      name: of the experiment.
      world: its users.
      rate: visits a second.
      past: events of each user before anything is recommended.
      days: in which these happened.
      seconds: of the visits before taste changes, and to the new version.
      pause: seconds before each kill.
      port: first of the services' ports.
    """

    config: str = CONFIG
    name: str = "demo_online"
    world: World = World()
    rate: float = 25.0
    past: int = 24
    days: float = 7.0
    seconds: float = 25.0
    pause: float = 6.0
    port: int = 8700


class Story:
    """What happens, in its order.

    Attributes:
      visits: all of them.
      lost: events that were told and did not become raw files.
    """

    def __init__(self, setting: Setting, workdir: str):
        self._setting = setting
        self._home = pathlib.Path(workdir).absolute() / "online" / setting.name
        self._home.mkdir(parents=True, exist_ok=True)
        self._raw = str(self._home / "landed")
        config = pathlib.Path(workdir).absolute() / f"{setting.name}.py"
        config.write_text(setting.config.replace("RAW", repr(self._raw)))
        self._config, self._where = str(config), ("--workdir", str(config.parent))
        self._told = Told(experiments.load(self._config), str(config.parent))
        site = plan.Site("127.0.0.1", setting.port, str(config.parent), self._config)
        rest, _, self._page = site.ports("gateway")
        self._asked = Asked(f"http://127.0.0.1:{rest}/v1/recommend")
        self._model = f"127.0.0.1:{site.ports('model')[0]}"
        self.visits = Visits(setting.world, self._asked.ask, self._told.tell, setting.rate)
        self.visits.phase = BEFORE
        self._past = self.visits.past(time.time(), setting.days, setting.past)
        self.lost = 0

    def tell(self) -> None:
        """All of it. Raises PodwayError: a service does not come up, or an event is lost."""
        self._first_version()
        options = (self._config, *self._where, "--ports", str(self._setting.port))
        with Up(self._home, options) as up:
            say("All services: model server, nearline, lander, gateway, monitor")
            up.until_ready(f"http://127.0.0.1:{self._page}/readyz")
            with coming(self.visits, self._asked):
                self._taste_changes(up)
                self.visits.phase = CYCLE
                say("A cycle of the loop, while users go on coming")
                podway("loop", self._config, *self._where, "--once", "--server", self._model)
                say("Users of the new version")
                self._phase(FOLLOWED)
            self._all_landed()
        self._report()
        podway("versions", self._setting.name, *self._where)

    def _first_version(self) -> None:
        """A week of users, through queue and lander, and a model of it."""
        users = self._setting.world.users
        say(f"A week of {users} users, who find what they like alone: queue, lander")
        for at in range(0, len(self._past), 1000):
            self._told.publish(self._past[at : at + 1000])
        print(f"{len(self._past):,} events are in the queue")
        podway("lander", self._config, *self._where, "--drain")
        say("A first version, which serves")
        podway("run", self._config, *self._where)

    def _taste_changes(self, up: Up) -> None:
        """Visits before and after, while each service is killed once."""
        say(f"Users come, {self._setting.rate:.0f} visits a second")
        self._phase(BEFORE)
        self.visits.changed, self.visits.phase = True, AFTER
        say("Their taste changes: another genre each, and new items. Every service is killed once")
        for service in SERVICES:
            time.sleep(self._setting.pause)
            up.kill(service)
        time.sleep(2.5 * self._setting.pause)

    def _phase(self, name: str) -> None:
        self.visits.phase = name
        time.sleep(self._setting.seconds)

    def _all_landed(self) -> None:
        """Waits until the lander has written what users did, and looks whether it is all."""
        told = {event.id for event in self._past} | {*self.visits.told}
        until = time.monotonic() + 60
        while (missing := told - landed(self._raw)) and time.monotonic() < until:
            time.sleep(1)
        self.lost = len(missing)
        say(f"{len(told):,} events were told; {self.lost:,} are not in the raw files")
        if missing:
            raise PodwayError(f"{self.lost} events are lost, {sorted(missing)[0]} among them")

    def _report(self) -> None:
        """What was taken, before and after."""
        visits = self.visits
        say(f"{len(visits.seen):,} visits were answered, {visits.failed:,} failed")
        print(table(visits.seen, (BEFORE, AFTER, CYCLE, FOLLOWED)))
        old, new = (
            [each for each in visits.seen if each.phase == name] for name in (AFTER, FOLLOWED)
        )
        found = measure.difference([each for each in old if each.version], new)
        print(
            f"\nof visits to the new version {100 * found.value:.1f} [{100 * found.low:.1f},"
            f" {100 * found.high:.1f}] in a hundred more take what is recommended than of those to"
            f" the old one after taste had changed ({found.users} users who came to both)"
        )


def table(visits: Sequence[Visit], phases: Sequence[str]) -> str:
    """What was taken, by phase and who answered."""
    lines = [f"{'':<34}{'visits':>8}{'fallback':>10}  a recommendation was taken"]
    for phase in phases:
        of_phase = [each for each in visits if each.phase == phase]
        for version in sorted({each.version for each in of_phase} - {0}):
            some = [each for each in of_phase if each.version == version]
            name = f"{phase}, version {version}"
            lines.append(f"{name:<34}{len(some):>8,}{'':>10}  {measure.rate(some)}")
        fallbacks = sum(each.version == 0 for each in of_phase) / max(1, len(of_phase))
        lines.append(
            f"{f'{phase}, all':<34}{len(of_phase):>8,}{fallbacks:>10.1%}  {measure.rate(of_phase)}"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", default="workdir", help="folder of all artefacts")
    parser.add_argument("--port", type=int, default=8700, help="first of the services' ports")
    given, began = parser.parse_args(), time.monotonic()
    pathlib.Path(given.workdir).mkdir(parents=True, exist_ok=True)
    Story(Setting(port=given.port), given.workdir).tell()
    print(f"\ndemo-online: {text.span(time.monotonic() - began)}")


if __name__ == "__main__":
    with console.gentle():
        main()
