"""Progress: a bar in a terminal, lines of a log elsewhere."""

import io
import sys

import pytest
from tqdm import tqdm

from podway.framework import progress
from tests.test_walls import ROOMS, ROOT, imports, sources


class Clock:
    """Stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines(clock: Clock, **options) -> tuple[progress.Lines, io.StringIO]:
    file = io.StringIO()
    return progress.Lines("train", unit="step", clock=clock, file=file, **options), file


def test_a_line_every_half_minute(clock):
    bar, file = lines(clock, total=1200, done=200)
    for second in range(1, 91):
        clock.now = 1000.0 + second
        bar.set_postfix(loss=f"{1 / second:.2f}")
        bar.update(4 if second <= 30 else 8)
    assert file.getvalue().splitlines() == [
        "train: 320/1,200 steps, 4/s, 03:40 left, loss 0.03",
        "train: 560/1,200 steps, 8/s, 01:20 left, loss 0.02",
        "train: 800/1,200 steps, 8/s, 00:50 left, loss 0.01",
    ]
    clock.now += 10
    bar.close()
    bar.close()
    last = file.getvalue().splitlines()[3:]
    assert last == ["train: 800/1,200 steps, 6/s, 01:40 in all, loss 0.01"]
    assert "\r" not in file.getvalue()


def test_what_is_not_known_is_not_told(clock):
    """No total yet, nothing done, more done than there was to be, and a rate in thousands."""
    bar, file = lines(clock, stays=False)
    for rows, total in ((60_000, None), (0, 60_000), (1, 60_000), (29, 60_020)):
        clock.now += 30
        bar.total = total
        bar.update(rows)
    bar.close()
    assert file.getvalue().splitlines() == [
        "train: 60,000/? steps, 2.00k/s, ? left",
        "train: 60,000/60,000 steps, 0/s, ? left",
        "train: 60,001/60,000 steps, 0.0333/s, 00:00 left",
        "train: 60,030/60,020 steps, 0.967/s, 00:00 left",
    ]


def test_short_work_says_one_line_if_any(clock):
    for stays, expected in ((True, 1), (False, 0)):
        bar, file = lines(clock, total=3, stays=stays)
        with bar:
            for _ in range(3):
                bar.update()
        assert len(file.getvalue().splitlines()) == expected


def test_work_goes_on_where_nobody_reads_its_lines(clock):
    class Unread(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    bar = progress.Lines("train", unit="step", clock=clock, file=Unread())
    clock.now += progress.EVERY
    bar.update()
    bar.close()


@pytest.mark.parametrize("bars", [None, "1"])
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("silent", [True, False])
def test_a_terminal_has_a_bar(terminal, bars, silent, monkeypatch, capsys):
    """And so has a process whose supervisor is in one."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.delenv(progress.BARS, raising=False)
    if bars:
        monkeypatch.setenv(progress.BARS, bars)
    with progress.shown("train", unit="step", total=9, done=4, silent=silent) as bar:
        bar.set_postfix(loss="0.5")
        bar.update(3)
        assert silent or (bar.n, bar.total) == (7, 9)
    said = capsys.readouterr().err
    if silent:
        assert said == ""
    elif terminal or bars:
        assert isinstance(bar, tqdm)
        assert "\r" in said
        assert "7/9" in said
    else:
        assert said.startswith("train: 7/9 steps")
        assert said.endswith("loss 0.5\n")


def test_nobody_else_draws_bars():
    using = {path for path in sources(*ROOMS) if "tqdm" in imports(path)}
    assert using == {ROOT / "framework" / "progress.py"}
