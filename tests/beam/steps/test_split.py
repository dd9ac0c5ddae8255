import numpy as np
import pyarrow as pa

from podway.beam.steps import codes
from podway.beam.steps.chunk import Chunk
from podway.beam.steps.masks import rows
from podway.beam.steps.split import (
    Events,
    Examples,
    arrange,
    events,
    global_time,
    histories,
    leave_one_out,
    of_these,
    quantiles,
)
from podway.framework.config import Data, GlobalTime, LeaveOneOut, RowExamples


def _events(times: list[list[int]]) -> Events:
    flat = [time for user in times for time in user]
    return Events(
        user=np.arange(len(times), dtype=np.uint64),
        offsets=np.concatenate([[0], np.cumsum([len(user) for user in times])]),
        item=np.arange(len(flat), dtype=np.int32),
        items=np.arange(len(flat), dtype=np.uint64),
        time=np.array(flat, np.int64),
        features={},
    )


def _chunk(user: list[int], item: list[int], time: list[int], price: list[float]) -> Chunk:
    """Users and items are fingerprints."""

    def column(values: list[int]) -> pa.DictionaryArray:
        union, indices = np.unique(np.array(values, np.uint64), return_inverse=True)
        return codes.dictionary(indices, union)

    return Chunk(
        pa.table(
            {
                "user": column(user),
                "item": column(item),
                "time": time,
                "price": pa.array(price, pa.float32()),
            }
        )
    )


def _rows(table: pa.Table) -> list[tuple]:
    return [tuple(row.values()) for row in table.to_pylist()]


def test_arrange_sorts_by_user_place_then_time_then_item_then_features():
    chunks = [
        _chunk([9, 4, 9], [30, 20, 10], [5, 9, 5], [1.0, 1.0, 1.0]),
        _chunk([9, 9, 4], [20, 30, 20], [4, 5, 3], [1.0, 0.5, 1.0]),
    ]
    table, dropped = arrange(chunks, seed=0, duplicates="keep")
    first = 9 if codes.scatter(np.array([9, 4], np.uint64), 0).argmin() == 0 else 4
    nine = [(9, 4, 20, 1.0), (9, 5, 10, 1.0), (9, 5, 30, 0.5), (9, 5, 30, 1.0)]
    four = [(4, 3, 20, 1.0), (4, 9, 20, 1.0)]
    expected = nine + four if first == 9 else four + nine
    assert _rows(table.select(["user", "time", "item", "price"])) == expected
    assert dropped == 0
    again, _ = arrange(chunks[::-1], seed=0, duplicates="keep")
    assert again.equals(table)
    once, dropped = arrange(chunks, seed=0, duplicates="drop")
    assert dropped == 1
    assert (9, 5, 30, 1.0) not in _rows(once.select(["user", "time", "item", "price"]))


def test_kept_events_lose_users_and_items():
    table, _ = arrange([_chunk([1, 1, 2, 3], [7, 8, 7, 8], [1, 2, 3, 4], [0.0] * 4)], 0, "keep")
    mask = of_these(table, np.array([1, 3], np.uint64), np.array([8], np.uint64))
    found = events(table.filter(mask))
    assert sorted(found.user.tolist()) == [1, 3]
    assert found.offsets.tolist() == [0, 1, 2]
    assert found.items[found.item].tolist() == [8, 8]


def test_rows_by_hand():
    times = _events([[1, 2, 3, 4], [1, 9]])
    masks = rows(Data("a", "b", examples=RowExamples(), split=LeaveOneOut()), times, None)
    assert masks["train"].tolist() == [True, True, False, False, True, True]
    assert masks["validation"].tolist() == [False, False, True, False, False, False]
    assert masks["test"].tolist() == [False, False, False, True, False, False]
    masks = rows(Data("a", "b", examples=RowExamples(), split=GlobalTime()), times, [3, 4])
    assert masks["train"].tolist() == [True, True, False, False, True, False]
    assert masks["validation"].tolist() == [False, False, True, False, False, False]
    assert masks["test"].tolist() == [False, False, False, True, False, True]


def targets(examples: Examples) -> list[int]:
    assert examples.target is not None
    return examples.target.tolist()


def test_histories_by_hand():
    times = _events([[1, 2, 3], [1, 2]])
    mask = histories(times, leave_one_out(times)["test"])
    assert mask.tolist() == [True, True, False, False, False]


def test_leave_one_out_by_hand():
    parts = leave_one_out(_events([[1, 2, 3, 4], [1, 2], [1, 2, 3], [7]]))
    assert parts["train"].user.tolist() == [0, 1, 2, 3]
    assert parts["train"].length.tolist() == [2, 2, 1, 1]
    assert parts["validation"].user.tolist() == [0, 2]
    assert parts["validation"].length.tolist() == [2, 1]
    assert targets(parts["validation"]) == [2, 7]
    assert parts["test"].length.tolist() == [3, 2]
    assert targets(parts["test"]) == [3, 8]


def test_global_time_by_hand():
    # Points at 10 and 20; an event at a point is after it.
    parts = global_time(
        _events(
            [
                [1, 9, 10, 15, 20, 25],  # train 2, validation target at 10, test target at 20
                [1, 2],  # train only
                [12, 19, 21],  # no train history: no validation; test history of 2
                [5, 30],  # nothing between the points: test only, beside train
                [22, 23],  # no history anywhere
                [3, 11],  # validation only, beside train
            ]
        ),
        10,
        20,
    )
    assert parts["train"].user.tolist() == [0, 1, 3, 5]
    assert parts["train"].length.tolist() == [2, 2, 1, 1]
    assert parts["validation"].user.tolist() == [0, 5]
    assert parts["validation"].length.tolist() == [2, 1]
    assert targets(parts["validation"]) == [2, 16]
    assert parts["test"].user.tolist() == [0, 2, 3]
    assert parts["test"].length.tolist() == [4, 2, 1]
    assert targets(parts["test"]) == [4, 10, 12]


def test_quantiles_by_hand():
    # The events' times: 1 1 1 4 4 6 7 8 9 9; numbers 0, 5, 8, 9.
    times, counts = np.array([1, 4, 6, 7, 8, 9]), np.array([3, 2, 1, 1, 1, 2])
    assert quantiles(times, counts, (0.05, 0.5, 0.8, 0.95)) == [1, 6, 9, 9]
    assert quantiles(times, counts, (0.3, 0.75)) == [4, 8]
