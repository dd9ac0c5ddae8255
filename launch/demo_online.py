"""`make demo-online`: users whose taste changes, services that are killed, a model that follows.

usage: python -m podway.launch.demo_online [--workdir workdir]

Everything but the users is real, and all of it runs on this machine: each step is a command that
you could type, and is shown as such. Simulated users ask the gateway, take what pleases them, and
tell the queue; nearline keeps their histories; the lander writes raw shards; `podway loop` makes
the next version of them. Then taste changes, and every service is killed once.
"""

import argparse
import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from podway.framework.page import text
from podway.launch import console
from podway.launch.demo_mlops import podway, say
from podway.launch.simulation import measure
from podway.launch.simulation.measure import Visit
from podway.launch.simulation.visits import Shown, Visits
from podway.launch.simulation.world import World
from podway.launch.up import plan

NAME = "demo_online"
RATE = 25.0
"""Visits a second."""
PAST, DAYS = 24, 7.0
"""Events of each user before anything is recommended, and the days in which they happened."""
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
            path={raw!r},
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


class Told:
    """Events go straight to the queue, as a server of the shop's own would send them."""

    def __init__(self, config: str, workdir: str):
        from podway.launch import experiments
        from podway.online.queue.open import opened

        online = experiments.load(config).online
        self._topic = online.topics.events
        self._queue = opened(online.queue, online.topics, os.path.join(workdir, "online", NAME))
        self._producer = self._queue.producer()

    def publish(self, events: Sequence[Any]) -> None:
        """Returns when the queue keeps them. Raises OSError where it does not in time."""
        from podway.online.error import QueueError
        from podway.online.events.event import encode
        from podway.online.queue.queue import Message

        try:
            messages = [Message(event.user, encode(event)) for event in events]
            self._producer.publish(self._topic, messages, timeout=10)
        except QueueError as error:
            raise ConnectionError(str(error)) from error

    async def tell(self, events: Sequence[Any]) -> None:
        """As publish."""
        await asyncio.to_thread(self.publish, events)


@contextlib.contextmanager
def coming(visits: Visits, asked: "Asked") -> Iterator[None]:
    """Visits come for the time of a block, in a thread of their own."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(visits.run(stop)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.run_until_complete(asked.close())
        loop.close()


class Asked:
    """The gateway, asked by REST. While it is not there, a client tries again, as any would."""

    def __init__(self, url: str):
        self.url, self._session = url, None

    async def ask(self, user: str) -> Shown:
        """What is shown to a user. Raises OSError where the gateway says no."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10))
        until = time.monotonic() + 30
        while True:
            try:
                async with self._session.get(self.url, params={"user": user}) as response:
                    body = await response.json()
            except (aiohttp.ClientConnectionError, TimeoutError):
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.2)
                continue
            if response.status != 200:
                raise OSError(f"the gateway answers {response.status}: {body}")
            items = tuple(each["item"] for each in body["items"])
            by_model = body["source"] in ("model", "cache")
            return Shown(items, (body["model"]["version"] or 0) if by_model else 0)

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()


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


class Up:
    """`podway up`, for the time of a block.

    Attributes:
      home: folder of what the services keep.
    """

    def __init__(self, config: str, workdir: str, port: int):
        self.home = pathlib.Path(workdir) / "online" / NAME
        self._command = ("up", config, "--workdir", workdir, "--ports", str(port))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Up":
        print(f"\n$ podway {' '.join(self._command)} &", flush=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "podway.launch.cli", *self._command],
            stdout=(self.home / "up.log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(60)
        finally:
            self._process.kill()

    def until_ready(self, url: str, seconds: float = 180.0) -> None:
        """Waits until the page says that it is."""
        assert self._process is not None
        until = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
                return
            if self._process.poll() is not None or time.monotonic() > until:
                sys.exit(f"podway: error: {url} does not answer; see {self.home / 'up.log'}")
            time.sleep(0.5)

    def kill(self, service: str) -> None:
        """SIGKILL to a service, which `podway up` starts again."""
        assert self._process is not None
        verb = {"model": "serve"}.get(service, service)
        for pid in _children(self._process.pid):
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if verb.encode() in arguments[:5]:
                print(f"$ kill -9 {pid}  # {service}", flush=True)
                os.kill(pid, signal.SIGKILL)
                return
        sys.exit(f"podway: error: there is no service {service} to be killed")


def _children(parent: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True)
    return [int(each) for each in found.stdout.split()]


def landed(home: pathlib.Path) -> set[str]:
    """Ids of all plays in the raw shards."""
    import pyarrow.dataset

    shards = pyarrow.dataset.dataset(str(home / "landed"), format="parquet", partitioning="hive")
    rows = shards.to_table(columns=["id"], filter=pyarrow.dataset.field("type") == "play")
    ids = rows.column("id").to_pylist()
    return set(ids)


class Story:
    """What happens, in its order."""

    def __init__(self, config: str, workdir: str, port: int):
        self._config, self._told = config, Told(config, workdir)
        rest, _, self._page = plan.Site("127.0.0.1", port, workdir, config).ports("gateway")
        self.asked = Asked(f"http://127.0.0.1:{rest}/v1/recommend")
        self.visits = Visits(World(), self.asked.ask, self._told.tell, RATE)

    def first_version(self, where: Sequence[str]) -> None:
        """A week of users, through queue and lander, and a model of it."""
        world = self.visits.world
        say(f"A week of {world.users} users, who find what they like alone: queue, lander")
        past = self.visits.past(time.time(), DAYS, PAST)
        for at in range(0, len(past), 1000):
            self._told.publish(past[at : at + 1000])
        self._kept = {event.id for event in past}
        print(f"{len(past):,} events are in the queue")
        podway("lander", self._config, *where, "--drain")
        say("A first version, which serves")
        podway("run", self._config, *where)

    def services(self, up: Up) -> None:
        """All of them, until they answer."""
        say("All services: model server, nearline, lander, gateway, monitor")
        up.until_ready(f"http://127.0.0.1:{self._page}/readyz")

    def taste_changes(self, up: Up) -> None:
        """Visits before and after, while each service is killed once."""
        say(f"Users come, {RATE:.0f} visits a second")
        self._phase(BEFORE, 25)
        self.visits.changed = True
        say("Their taste changes: another genre each, and new items. Every service is killed once")
        self.visits.phase = AFTER
        for service in SERVICES:
            time.sleep(6)
            up.kill(service)
        time.sleep(15)
        say("A cycle of the loop, while users go on coming")
        self.visits.phase = CYCLE

    def followed(self) -> None:
        """Visits to the new version."""
        say("Users of the new version")
        self._phase(FOLLOWED, 25)

    def all_landed(self, home: pathlib.Path) -> None:
        """Waits until the lander has written what users did, and looks whether it is all."""
        told, until = self._kept | {*self.visits.told}, time.monotonic() + 60
        while (missing := told - landed(home)) and time.monotonic() < until:
            time.sleep(1)
        say(f"{len(told):,} events were told; {len(missing):,} are not in the raw files")
        if missing:
            sys.exit("podway: error: events are lost")

    def report(self) -> None:
        """What was taken, before and after."""
        visits = self.visits
        say(f"{len(visits.seen):,} visits were answered, {visits.failed:,} failed")
        print(table(visits.seen, (BEFORE, AFTER, CYCLE, FOLLOWED)))
        pair = [[each for each in visits.seen if each.phase == name] for name in (AFTER, FOLLOWED)]
        found = measure.difference(*pair)
        print(
            f"\nwith the new version {found.value:+.1%} [{found.low:+.1%}, {found.high:+.1%}] more"
            f" visits take what is recommended, of {found.users} users who came in both"
        )

    def _phase(self, name: str, seconds: float) -> None:
        self.visits.phase = name
        time.sleep(seconds)


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", default="workdir", help="folder of all artefacts")
    parser.add_argument("--port", type=int, default=8700, help="first of the services' ports")
    given, began = parser.parse_args(), time.monotonic()
    workdir = str(pathlib.Path(given.workdir).absolute())
    home = pathlib.Path(workdir) / "online" / NAME
    home.mkdir(parents=True, exist_ok=True)
    config = os.path.join(workdir, "demo_online.py")
    pathlib.Path(config).write_text(CONFIG.format(raw=str(home / "landed")))
    where = ("--workdir", workdir)

    story = Story(config, workdir, given.port)
    story.first_version(where)
    with Up(config, workdir, given.port) as up:
        story.services(up)
        with coming(story.visits, story.asked):
            story.taste_changes(up)
            podway("loop", config, *where, "--once", "--server", f"127.0.0.1:{given.port}")
            story.followed()
        story.all_landed(home)
    story.report()
    podway("versions", NAME, *where)
    print(f"\ndemo-online: {text.span(time.monotonic() - began)}")


if __name__ == "__main__":
    with console.gentle():
        main()
