"""A member of a group that reads the embedded queue."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from podway.online.error import QueueError
from podway.online.queue import dead, progress
from podway.online.queue.dead import Policy
from podway.online.queue.progress import Progress
from podway.online.queue.queue import Producer, Received
from podway.online.queue.run import Run, runs
from podway.online.queue.sqlite_file import File, topic
from podway.online.queue.sqlite_members import Lock, ended, share

_LOOK = 0.25
"""Seconds between two looks at who else is there."""
_SHORTEST, _LONGEST = 0.002, 0.05
"""Seconds between two looks for messages."""
_NO_HEADERS: Mapping[str, str] = {}
_Found = TypeVar("_Found")


class SqliteConsumer:
    """Shares the partitions with the group's other members.

    A partition is one member's at a time, by its name in the file: who has lost it, since it was
    taken for dead, can no longer commit.
    """

    def __init__(
        self,
        file: File,
        producer: Producer,
        group: str,
        topic_name: str,
        start: str,
        policy: Policy,
        lease: float,
    ):
        if start not in ("earliest", "latest"):
            raise QueueError(f"start is {start!r}; give earliest or latest")
        self._file, self._producer, self._group = file, producer, group
        self._topic, self._policy, self._lease = topic_name, policy, lease
        self._number, self._partitions = topic(file, topic_name)
        self._named = (self._number, group)
        self._lock = Lock(file.path)
        self._held: dict[int, Progress] = {}
        self._leaving: dict[int, float] = {}
        self._unsaved: set[int] = set()
        self._looked = self._renewed = 0.0
        self._turn = 0
        first = "0" if start == "earliest" else "next"
        with file.written():
            file.run(
                "INSERT OR IGNORE INTO progress SELECT topic, ?, partition,"
                f" {first}, NULL FROM head WHERE topic = ?",
                (group, self._number),
            )
            file.run(
                "INSERT INTO member VALUES (?, ?, ?, ?)",
                (self._lock.name, *self._named, time.time()),
            )

    def poll(self, most: int, timeout: float) -> list[Received]:
        """Up to `most` further messages."""
        return self._polled(timeout, lambda: self._fetch(most))

    def poll_runs(self, most: int, timeout: float) -> list[Run]:
        """The same in columns."""
        return self._polled(timeout, lambda: self._fetch_runs(most))

    def _polled(self, timeout: float, fetch: Callable[[], list[_Found]]) -> list[_Found]:
        end, wait = time.monotonic() + timeout, _SHORTEST
        while True:
            if time.monotonic() >= self._looked + _LOOK:
                self._look()
            if found := fetch():
                return found
            left = end - time.monotonic()
            if left <= 0:
                return []
            time.sleep(min(wait, left))
            wait = min(_LONGEST, 1.5 * wait)

    def _fetch(self, most: int) -> list[Received]:
        found: list[Received] = []
        for index, mine in self._turns():
            found += self._messages(index, mine, most - len(found))
        return found

    def _fetch_runs(self, most: int) -> list[Run]:
        found: list[Run] = []
        for index, mine in self._turns():
            left = most - sum(map(len, found))
            if not mine.is_plain:
                found += runs(self._messages(index, mine, left))
            elif (run := self._run(index, mine, left)) is not None:
                found.append(run)
        return found

    def _turns(self) -> list[tuple[int, Progress]]:
        """Each partition is first in its turn, so that none starves behind a full one."""
        order = sorted(self._held.keys() - self._leaving.keys())
        self._turn = (self._turn + 1) % max(1, len(order))
        return [(index, self._held[index]) for index in order[self._turn :] + order[: self._turn]]

    def _messages(self, index: int, mine: Progress, most: int) -> list[Received]:
        """The next of a partition; they are delivered."""
        if (room := mine.room(time.monotonic(), most)) <= 0:
            return []
        rows = self._file.rows(
            "SELECT offset, key, value, headers, published FROM message WHERE topic = ? AND"
            " partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
            (self._number, index, mine.position, room),
        )
        plain, found, name = mine.is_plain, list[Received](), self._topic
        for offset, key, value, headers, published in rows:
            attempt = 1 if plain else mine.deliver(offset)
            if attempt is None:
                continue
            told = _NO_HEADERS if headers == "{}" else json.loads(headers)
            number = f"{index}-{offset}"
            of = Received(name, index, offset, number, key, value, told, published, attempt)
            if attempt > self._policy.attempts:
                self.dead(of, dead.ended(attempt - 1))
            else:
                found.append(of)
        if plain and rows:
            mine.position = rows[-1][0] + 1
        return found

    def _run(self, index: int, mine: Progress, most: int) -> Run | None:
        """The same where each is delivered for the first time. Key and headers are read when they
        are asked for, which is of few."""
        if (room := mine.room(time.monotonic(), most)) <= 0:
            return None
        offsets, values, published = self._file.columns(
            "SELECT offset, value, published FROM message WHERE topic = ? AND partition = ? AND"
            " offset >= ? ORDER BY offset LIMIT ?",
            (self._number, index, mine.position, room),
            3,
        )
        if not offsets:
            return None
        mine.position = offsets[-1] + 1

        def message(at: int) -> Received:
            offset = offsets[at]
            # None: others had the partition meanwhile, and all have read it
            key, headers = self._file.row(
                "SELECT key, headers FROM message WHERE topic = ? AND partition = ? AND offset = ?",
                (self._number, index, offset),
            ) or ("", "{}")
            told, number = json.loads(headers), f"{index}-{offset}"
            return Received(
                self._topic, index, offset, number, key, values[at], told, published[at]
            )

        return Run(index, offsets, values, published, False, message)

    def commit(self, messages: Iterable[Received]) -> None:
        """These are done, and all before them."""
        for index, offset in progress.last(messages).items():
            if index in self._held and self._held[index].commit(offset):
                self._unsaved.add(index)
        self._save()
        self._hand_over()

    def retry(self, message: Received, reason: str) -> None:
        """Delivers it again, later."""
        if (mine := self._held.get(message.partition)) is None:
            return
        if mine.failed.get(message.offset, 0) + 1 >= self._policy.attempts:
            self.dead(message, reason)
            return
        seconds = progress.delay(self._policy.seconds, mine.failed.get(message.offset, 0) + 1)
        if failed := mine.again(message.offset, time.monotonic() + seconds):
            self._fail(message.partition, message.offset, failed)

    def dead(self, message: Received, reason: str) -> None:
        """To the topic of dead messages at once."""
        mine = self._held.get(message.partition)
        if mine is None or not mine.waits(message.offset):
            return
        gone = dead.message(message, self._group, reason, self._policy.topic)
        self._producer.publish(self._policy.topic, [gone])
        if mine.dead(message.offset):
            self._unsaved.add(message.partition)
            self._save()
        else:
            with self._file.written():
                self._mark(message.partition, message.offset, mine.failed.get(message.offset, 0), 1)

    def lag(self) -> int:
        """Messages that wait for this group."""
        found = self._file.row(
            "SELECT SUM(head.next - progress.next) FROM progress JOIN head USING (topic, partition)"
            " WHERE topic = ? AND team = ?",
            self._named,
        )
        return found[0] or 0

    def close(self) -> None:
        """Leaves the group."""
        with self._file.written():
            self._file.run(
                "UPDATE progress SET owner = NULL WHERE topic = ? AND team = ? AND owner = ?",
                (*self._named, self._lock.name),
            )
            self._file.run("DELETE FROM member WHERE name = ?", (self._lock.name,))
        self._held = {}
        self._lock.close()
        self._producer.close()
        self._file.close()

    def _save(self) -> None:
        """Writes what is committed, of those partitions that are still this member's."""
        self._unsaved &= self._held.keys()
        if not self._unsaved:
            return
        lost = []
        with self._file.written():
            for index in self._unsaved:
                first = self._held[index].committed
                if not self._file.run(
                    "UPDATE progress SET next = ? WHERE topic = ? AND team = ? AND partition = ?"
                    " AND owner = ?",
                    (first, *self._named, index, self._lock.name),
                ):
                    lost.append(index)
                    continue
                self._file.run(
                    "DELETE FROM failed WHERE topic = ? AND team = ? AND partition = ? AND"
                    " offset < ?",
                    (*self._named, index, first),
                )
        self._unsaved.clear()
        for index in lost:
            self._drop(index)

    def _fail(self, index: int, offset: int, deliveries: int) -> None:
        with self._file.written():
            self._mark(index, offset, deliveries, 0)

    def _mark(self, index: int, offset: int, deliveries: int, gone: int) -> None:
        self._file.run(
            "INSERT OR REPLACE INTO failed VALUES (?, ?, ?, ?, ?, ?)",
            (*self._named, index, offset, deliveries, gone),
        )

    def _drop(self, index: int) -> None:
        self._held.pop(index, None)
        self._leaving.pop(index, None)

    def _look(self) -> None:
        """Says that this member is there, and takes and gives partitions as is fair."""
        self._looked = time.monotonic()
        now = time.time()
        owners = self._owners()
        for index in [index for index in self._held if owners[index] != self._lock.name]:
            self._drop(index)
        members = self._alive(now)
        take, give = share(self._lock.name, members, owners)
        for index in list(self._leaving):
            if index not in give:
                del self._leaving[index]
        for index in give:
            self._leaving.setdefault(index, now + self._lease)
        if take or abs(now - self._renewed) > self._lease / 3:
            self._renewed = now
            with self._file.written():
                self._file.run(
                    "INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?)",
                    (self._lock.name, *self._named, now),
                )
                self._file.run("DELETE FROM member WHERE seen < ?", (now - 10 * self._lease,))
                if take:
                    self._take(members)
        self._hand_over()

    def _owners(self) -> dict[int, str | None]:
        return dict(
            self._file.rows(
                "SELECT partition, owner FROM progress WHERE topic = ? AND team = ?", self._named
            )
        )

    def _alive(self, now: float) -> list[str]:
        """Members of the group that are there, this one too."""
        found = {self._lock.name}
        for name, seen in self._file.rows(
            "SELECT name, seen FROM member WHERE topic = ? AND team = ?", self._named
        ):
            if name == self._lock.name:
                continue
            if abs(now - seen) <= self._lease and not ended(self._file.path, name):
                found.add(name)
        return sorted(found)

    def _take(self, members: list[str]) -> None:
        """Takes partitions that are free, within a transaction; who had them before and did not
        give them ended in their midst."""
        owners = self._owners()
        take, _ = share(self._lock.name, members, owners)
        for index in take:
            self._file.run(
                "UPDATE progress SET owner = ? WHERE topic = ? AND team = ? AND partition = ?",
                (self._lock.name, *self._named, index),
            )
            (first,) = self._file.row(
                "SELECT next FROM progress WHERE topic = ? AND team = ? AND partition = ?",
                (*self._named, index),
            )
            mine = Progress(first)
            for offset, deliveries, gone in self._file.rows(
                "SELECT offset, deliveries, gone FROM failed WHERE topic = ? AND team = ? AND"
                " partition = ?",
                (*self._named, index),
            ):
                mine.failed[offset] = deliveries
                if gone:
                    mine.gone.add(offset)
            if owners[index] is not None:
                mine.width = 1
                mine.failed[first] = mine.failed.get(first, 0) + 1
                self._mark(index, first, mine.failed[first], 0)
            self._held[index] = mine
        for name in {owners[index] for index in take} - {None}:
            self._file.run("DELETE FROM member WHERE name = ?", (name,))

    def _hand_over(self) -> None:
        """Gives up what another is to have, once nothing of it is under way here."""
        now = time.time()
        for index, end in list(self._leaving.items()):
            mine = self._held.get(index)
            if mine is None or mine.position == mine.committed or now >= end:
                with self._file.written():
                    self._file.run(
                        "UPDATE progress SET owner = NULL WHERE topic = ? AND team = ? AND"
                        " partition = ? AND owner = ?",
                        (*self._named, index, self._lock.name),
                    )
                self._drop(index)
