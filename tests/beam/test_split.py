import numpy as np

from beam.split import Events, arrange, global_time, leave_one_out, quantiles


def _events(times: list[list[int]]) -> Events:
    flat = [time for user in times for time in user]
    return Events(
        user=np.arange(len(times), dtype=np.int32) + 2,
        offsets=np.concatenate([[0], np.cumsum([len(user) for user in times])]),
        item=np.arange(len(flat), dtype=np.int32) + 2,
        time=np.array(flat, np.int64),
        item_code=np.arange(len(flat), dtype=np.int32),
    )


def test_arrange_sorts_by_user_place_then_time_then_item_code():
    events = arrange(
        user=np.array([1, 0, 1, 1, 0], np.int32),
        item=np.array([2, 1, 0, 1, 1], np.int32),
        time=np.array([5, 9, 5, 4, 3], np.int64),
        order=np.array([70, 30], np.uint64),  # user 1 comes first
        user_ids=np.array([2, 3], np.int32),
        item_ids=np.array([12, 11, 10], np.int32),
    )
    assert events.user.tolist() == [3, 2]
    assert events.offsets.tolist() == [0, 3, 5]
    assert events.time.tolist() == [4, 5, 5, 3, 9]
    assert events.item.tolist() == [11, 12, 10, 11, 11]  # the tie at 5: code 0 before code 2


def test_leave_one_out_by_hand():
    parts = leave_one_out(_events([[1, 2, 3, 4], [1, 2], [1, 2, 3], [7]]))
    assert parts["train"].user.tolist() == [0, 1, 2, 3]
    assert parts["train"].length.tolist() == [2, 2, 1, 1]
    assert parts["validation"].user.tolist() == [0, 2]
    assert parts["validation"].length.tolist() == [2, 1]
    assert parts["validation"].target.tolist() == [2, 7]
    assert parts["test"].length.tolist() == [3, 2]
    assert parts["test"].target.tolist() == [3, 8]


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
    assert parts["validation"].target.tolist() == [2, 16]
    assert parts["test"].user.tolist() == [0, 2, 3]
    assert parts["test"].length.tolist() == [4, 2, 1]
    assert parts["test"].target.tolist() == [4, 10, 12]


def test_quantiles_by_hand():
    # The events' times: 1 1 1 4 4 6 7 8 9 9; numbers 0, 5, 8, 9.
    times, counts = np.array([1, 4, 6, 7, 8, 9]), np.array([3, 2, 1, 1, 1, 2])
    assert quantiles(times, counts, (0.05, 0.5, 0.8, 0.95)) == [1, 6, 9, 9]
    assert quantiles(times, counts, (0.3, 0.75)) == [4, 8]
