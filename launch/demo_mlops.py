"""`make demo-mlops`: two versions, a gate, a canary under load, a fault, and the way back.

usage: python -m podway.launch.demo_mlops [--workdir workdir]

Everything but the users is real: each step is a command that you could type, and is shown as such.
The users are MovieLens'. Each visit sends the first half of what somebody watched to a server, by
the client that splits requests between versions; an answer is worth 1 if any of its films is among
those of the second half.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import datetime
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from podway.framework import exit_codes
from podway.framework.page import text
from podway.launch import console, demo


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is shown, and at which size.

    Attributes:
      name: of the experiment.
      config: text of its file, with a gate and a rollout.
      steps: of the three trainings: enough, more, hardly any.
      histories: what users had, in the order of time.
      rate: visits a second.
    """

    name: str
    config: str
    steps: tuple[int, int, int]
    histories: Sequence[list[str]]
    rate: float = 30.0


CONFIG = '''"""The demo's model, with a gate and a rollout that suit a few minutes of few users."""

import dataclasses

from podway.configs import movielens_sasrec
from podway.framework.config import Experiment, Gate, Latency, NotWorse, Rollout, Size


def experiment() -> Experiment:
    return dataclasses.replace(
        movielens_sasrec.experiment(),
        gate=Gate(rules=(NotWorse("ndcg@10", margin=0.1), Latency(ratio=3.0), Size(ratio=1.5))),
        rollout=Rollout(
            shares=(0.2, 0.5),
            requests=150,
            shortest_seconds=3.0,
            interval_seconds=0.5,
            client_seconds=1.5,
            # Two trainings have scores of different scales; what counts is what users choose.
            score_margin=None,
            value_margin=0.05,
        ),
    )
'''


class Visits:
    """Users who come all the time, each with an own key.

    Attributes:
      failed: visits that got no answer.
      answered: the others.
    """

    def __init__(self, home: pathlib.Path, address: str, setting: Setting):
        self._home, self._address, self._setting = home, address, setting
        self._stop = threading.Event()
        self.failed = self.answered = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["Visits"]:
        """Visits from now until the end of a block."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(60)

    async def _run(self) -> None:
        from podway.online.rollout import client
        from podway.online.servers import rpc

        options = client.Options(refresh=0.5)
        async with (
            rpc.connected(self._address) as server,
            client.opened(self._home, server, options) as asking,
        ):
            draw, began, number = random.Random(0), time.monotonic(), 0
            tasks: set[asyncio.Task[None]] = set()
            while not self._stop.is_set():
                number += 1
                history = draw.choice(self._setting.histories)
                tasks.add(asyncio.create_task(self._visit(asking, f"visit {number}", history)))
                tasks = {task for task in tasks if not task.done()}
                await asyncio.sleep(
                    max(0.0, began + number / self._setting.rate - time.monotonic())
                )
            if tasks:
                await asyncio.wait(tasks)

    async def _visit(self, asking, key: str, history: list[str]) -> None:
        from podway.online.servers.answer import ServerError

        half = len(history) // 2
        try:
            given = await asking.predict(key, {"history": [history[:half]]})
        except ServerError as error:
            self.failed += 1
            print(f"  a visit failed: {error}", flush=True)
            return
        self.answered += 1
        asking.value(given, float(bool({*given.outputs["item"][0]} & {*history[half:]})))


def podway(*arguments: str, code: int = exit_codes.COMPLETE) -> None:
    """Runs a command, shown as one would type it; another exit code than this one ends the demo."""
    print(f"\n$ podway {' '.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "podway.launch.cli", *arguments], check=False)
    if done.returncode != code:
        sys.exit(f"podway: error: that ended with {done.returncode}, not {code}")
    if code:
        print(f"(exit code {code}: {exit_codes.ending(code).meaning})", flush=True)


def _of_two_versions(name: str, workdir: str, since: datetime.datetime) -> str:
    """A time at which the canary had its share."""
    from podway.launch.rollout import served

    now = datetime.datetime.now(datetime.UTC)
    moments = served.between(served.moments(name, workdir), since, now)
    return next(each.when for each in moments if len(each.shares()) > 1).isoformat()


def say(sentence: str) -> None:
    """A heading."""
    print(f"\n── {sentence}", flush=True)


def movielens() -> Setting:
    """The demo's model, and the users of MovieLens."""
    _, users = demo.histories(600)
    histories = [history for _, history in users if len(history) > 20]
    return Setting(demo.MODEL, CONFIG, (200, 400, 2), histories)


def play(setting: Setting, workdir: str) -> Visits:
    """Shows all of it. Returns the visits: how many were answered, and how many failed."""
    pathlib.Path(workdir).mkdir(parents=True, exist_ok=True)
    config = os.path.join(workdir, "mlops.py")
    pathlib.Path(config).write_text(setting.config)
    where, name = ("--workdir", workdir), setting.name
    enough, more, hardly = map(str, setting.steps)

    say("A first version: there is no champion yet, so it serves")
    podway("run", config, *where, "--trainer.steps", enough)
    say("A second one, trained for longer: exported, it serves nobody yet; its gate lets it pass")
    podway("export", config, *where, "--trainer.steps", more)
    podway("gate", name, "2", *where)
    say("A third one has a fault: it was hardly trained. Its gate stops it")
    podway("export", config, *where, "--trainer.steps", hardly)
    podway("gate", name, "3", *where, code=exit_codes.NOT_PASSED)

    home = pathlib.Path(workdir).absolute() / "models" / name
    with (
        demo.server(workdir, config) as (address, _),
        Visits(home, address, setting).running() as visits,
    ):
        rollout = ("--server", address, "--config", config)
        pace = f"{setting.rate:.0f} visits a second"
        say(f"The second version comes to all users, step by step ({pace})")
        podway("rollout", name, "2", *where, *rollout)
        say("The third one all the same, forced past its gate: users choose less, and it goes back")
        forced = datetime.datetime.now(datetime.UTC)
        podway(*("rollout", name, "3", *where, *rollout, "--without-gate"), code=exit_codes.REFUSED)
        time.sleep(2)
    say(f"{visits.answered:,} visits were answered, {visits.failed:,} failed. Who got what?")
    podway("served", name, *where, "--since", forced.isoformat(timespec="seconds"))
    podway("served", name, *where, "--at", _of_two_versions(name, workdir, forced))
    podway("versions", name, *where)
    return visits


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", default="workdir", help="folder of all artefacts")
    workdir, began = parser.parse_args().workdir, time.monotonic()
    play(movielens(), workdir)
    print(f"\ndemo-mlops: {text.span(time.monotonic() - began)}")


if __name__ == "__main__":
    with console.gentle():
        main()
