"""What clients leave: nothing is lost between processes, and sums are exact."""

import json
import math
import multiprocessing
import os
import signal
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podway.online.error import OnlineError
from podway.online.rollout import histogram, observation, spool
from podway.online.rollout.observation import NOT_FINITE, Observation, Tally, Value
from podway.online.rollout.spool import Spool

seen = st.one_of(
    st.builds(
        Observation,
        st.sampled_from(["stable", "canary"]),
        st.floats(0, 1e4),
        st.sampled_from(["", "UNAVAILABLE"]),
        st.booleans(),
        st.one_of(st.none(), st.floats()),
        st.booleans(),
    ),
    st.builds(Value, st.sampled_from(["stable", "canary"]), st.sampled_from([0.0, 0.5, 1.0])),
)


def tally(*observations: Observation | Value) -> Tally:
    found = Tally()
    for each in observations:
        found.add(each)
    return found


@given(st.lists(seen, max_size=20), st.lists(seen, max_size=20))
@settings(deadline=None)
def test_a_sum_is_that_of_its_parts_in_any_order_and_on_disk(one, other):
    whole = tally(*one, *other)
    assert observation.total([tally(*other), tally(*one)]) == whole
    assert observation.tally(json.loads(json.dumps(whole.json()))) == whole
    assert whole.requests == sum(whole.latency.values())
    assert 0 <= whole.empty <= whole.answered


def test_what_is_counted():
    found = tally(
        Observation("canary", 0.1, "UNAVAILABLE", empty=True, score=1.0),
        Observation("canary", 0.2, empty=True),
        Observation("canary", 0.3, score=math.nan),
        Observation("canary", 0.4, score=2.0),
        Observation("canary", 0.4, "UNAVAILABLE", repeated=True),
        Value("canary", 0.25),
    )
    assert (found.requests, found.repeats, found.answered, found.empty) == (4, 1, 2, 1)
    assert found.failures == {"UNAVAILABLE": 1, NOT_FINITE: 1}
    assert sum(found.scores.values()) == 1
    assert (found.values, found.worth) == (1, 0.25)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e6, 1e6))
@settings(deadline=None)
def test_buckets_rise_as_numbers_do(one, other):
    small, large = sorted((one, other))
    assert histogram.bucket(small) <= histogram.bucket(large)


@given(st.floats(1e-9, 1e9))
def test_a_bucket_is_narrow(number):
    end = histogram.number(histogram.bucket(number))
    assert number <= end * (1 + 1e-9)
    assert end <= number * 1.0443
    low = histogram.number(histogram.bucket(-number))
    assert -number <= low * (1 - 1e-9) <= -number / 1.0443 * (1 - 2e-9)


def test_quantiles_and_what_lies_above():
    counts = histogram.of([*range(1, 101)])
    at = histogram.quantile(counts, 0.95)
    assert histogram.above(counts, at) <= 5
    assert histogram.quantile(histogram.of([]), 0.5) is None


def write(folder, process: int, count: int) -> None:
    with_spool = Spool(folder)
    for number in range(count):
        with_spool.put(Observation("canary" if number % 10 == 0 else "stable", 0.01 * process))
    with_spool.close()


def test_many_processes_write_without_loss_while_somebody_reads(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write, args=(tmp_path, n + 1, 20_000)) for n in range(4)]
    for each in processes:
        each.start()
    offsets, parts = {}, []
    while True:
        done = not any(each.is_alive() for each in processes)
        found = spool.read(tmp_path, offsets)
        offsets = found.offsets
        parts.append(found.tallies)
        if done:
            break
    for each in processes:
        each.join()
        assert each.exitcode == 0
    totals = {
        arm: observation.total(part[arm] for part in parts if arm in part)
        for arm in ("stable", "canary")
    }
    assert (totals["stable"].requests, totals["canary"].requests) == (72_000, 8_000)
    assert totals["stable"].lost == totals["canary"].lost == 0


def test_a_process_that_is_killed_loses_less_than_a_moment(tmp_path):
    if (child := os.fork()) == 0:
        mine = Spool(tmp_path)
        for _ in range(500):
            mine.put(Observation("stable", 0.01))
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert spool.read(tmp_path, {}).tallies["stable"].requests > 250


def test_putting_never_waits_for_the_disk_and_what_does_not_fit_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_QUEUE", 1000)
    mine = Spool(tmp_path / "file" / "folder")
    (tmp_path / "file").write_text("in the way")
    for _ in range(1500):
        start = time.perf_counter()
        mine.put(Observation("stable", 0.01))
        assert time.perf_counter() - start < 0.5
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        mine.write()
    (tmp_path / "file").unlink()
    mine.close()
    found = spool.read(tmp_path / "file" / "folder", {}).tallies["stable"]
    assert (found.requests, found.lost) == (1000, 500)


def test_a_line_that_a_kill_cut_short_waits_for_its_end(tmp_path):
    whole = json.dumps({"stable": tally(Observation("stable", 0.1)).json()}) + "\n"
    path = tmp_path / "p.jsonl"
    path.write_text(whole + whole[:9])
    first = spool.read(tmp_path, {})
    assert first.tallies["stable"].requests == 1
    path.write_text(whole + whole)
    again = spool.read(tmp_path, first.offsets)
    assert again.tallies["stable"].requests == 1
    assert spool.read(tmp_path, again.offsets).tallies == {}
    path.write_text(whole + '{"stable": {"requests": 1, "wishes": 3}}\n')
    with pytest.raises(OnlineError, match=r"p\.jsonl holds a line that is no observation"):
        spool.read(tmp_path, {})


def test_a_bucket_is_no_place_for_observations():
    with pytest.raises(OnlineError, match=r"cannot be appended to gs://b/w.*--observations"):
        Spool("gs://b/w")
