"""Work beside the loop ends when nobody waits for it, and does not begin when nobody does."""

import asyncio
import threading
import time

import pytest

from podway.export.server.api import aside
from podway.export.server.error import RequestError


def test_it_returns_and_raises_what_the_work_does():
    assert asyncio.run(aside.run(lambda check: 3)) == 3

    def fails(check):
        raise RequestError("x", "y")  # type: ignore[arg-type]

    with pytest.raises(RequestError, match="y"):
        asyncio.run(aside.run(fails))


def test_who_leaves_ends_the_work_at_its_next_check():
    began, ended = threading.Event(), threading.Event()
    steps = []

    def work(check):
        began.set()
        try:
            while True:
                check()
                steps.append(1)
                time.sleep(0.001)
        finally:
            ended.set()

    async def main():
        left = asyncio.create_task(aside.run(work))
        await asyncio.to_thread(began.wait)
        behind = asyncio.create_task(aside.run(lambda check: steps.append("behind")))
        await asyncio.sleep(0.01)
        behind.cancel()
        left.cancel()
        await asyncio.gather(left, behind, return_exceptions=True)
        assert await asyncio.to_thread(ended.wait, 5)
        await aside.run(lambda check: None)
        assert "behind" not in steps

    asyncio.run(main())
