"""For each alert a story that fires it and one, all but equal, that must not."""

import dataclasses
from collections.abc import Mapping

LONG_AGO = "-1000000"
"""A time (s) that is old at any moment of a story, whose clock begins at 0."""


@dataclasses.dataclass(frozen=True)
class Story:
    """Series, as promtool's tests write them, and what they lead to.

    Attributes:
      series: name{labels} → values, one a minute.
      at: minutes after which alerts are looked at.
      labels: of the alert that fires; None: none does.
    """

    series: Mapping[str, str]
    at: int
    labels: Mapping[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """An alert's two stories."""

    fires: Story
    silent: Story


_RUN = 'experiment="e",run="r"'
_RUNS = {"experiment": "e", "run": "r"}
_SET = {"dataset": "d", "version": "v"}
_MODEL = {"model": "m", "version": "3"}
_TRAINS = {f'podway_training_state{{{_RUN},state="training"}}': "1x120"}
_ROWS = 'podway_live_rows{model="m",version="3"}'
_SERVED = {"model_name": "m", "model_version": "3"}
_LISTS = 'podway_serving_recommendations_total{model_name="m",model_version="3"}'


def _live(series: str, labels: Mapping[str, str]) -> Case:
    """Shares of a log: 499 rows say nothing."""
    return Case(
        Story({series: "0.9x10", _ROWS: "500x10"}, 5, labels),
        Story({series: "0.9x10", _ROWS: "499x10"}, 5),
    )


def _requests(ok: str, failed: str) -> dict[str, str]:
    name = ':tensorflow:serving:request_count{model_name="m",instance="i",status='
    return {f'{name}"OK"}}': ok, f'{name}"INTERNAL"}}': failed}


def _latency(fast: str, slow: str) -> dict[str, str]:
    name = ':tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",le='
    return {
        f'{name}"100000"}}': fast,
        f'{name}"1000000"}}': slow,
        f'{name}"+Inf"}}': slow,
    }


CASES = {
    "PodwayDataStale": Case(
        Story(
            {'podway_data_last_event_timestamp_seconds{dataset="d",version="v"}': f"{LONG_AGO}x5"},
            5,
            _SET,
        ),
        Story({'podway_data_last_event_timestamp_seconds{dataset="d",version="v"}': "0x5"}, 5),
    ),
    "PodwayDataRejects": Case(
        Story(
            {
                'podway_data_rejected_rows{dataset="d",version="v",reason="a"}': "6x5",
                'podway_data_rejected_rows{dataset="d",version="v",reason="b"}': "6x5",
                'podway_data_rows{dataset="d",version="v"}': "1000x5",
            },
            5,
            _SET,
        ),
        Story(  # two monitors of one dataset say the same twice
            {
                'podway_data_rejected_rows{dataset="d",version="v",reason="a",instance="1"}': "6x5",
                'podway_data_rejected_rows{dataset="d",version="v",reason="a",instance="2"}': "6x5",
                'podway_data_rows{dataset="d",version="v",instance="1"}': "1000x5",
                'podway_data_rows{dataset="d",version="v",instance="2"}': "1000x5",
            },
            5,
        ),
    ),
    "PodwayDataDrift": Case(
        Story(
            {'podway_data_drift{dataset="d",version="v",split="train",feature="f"}': "2x5"},
            5,
            {**_SET, "split": "train", "feature": "f"},
        ),
        Story({'podway_data_drift{dataset="d",version="v",split="train",feature="f"}': "1x5"}, 5),
    ),
    "PodwayTrainingFailed": Case(
        Story({f'podway_training_state{{{_RUN},state="failed"}}': "1x5"}, 5, _RUNS),
        Story({f'podway_training_state{{{_RUN},state="stopped"}}': "1x5"}, 5),
    ),
    "PodwayTrainingStands": Case(
        Story({f"podway_training_sign_timestamp_seconds{{{_RUN}}}": "0x60", **_TRAINS}, 31, _RUNS),
        Story({f"podway_training_sign_timestamp_seconds{{{_RUN}}}": "0x60", **_TRAINS}, 29),
    ),
    "PodwayTrainingGoodput": Case(
        Story({f"podway_training_goodput_percent{{{_RUN}}}": "40x90", **_TRAINS}, 61, _RUNS),
        Story({f"podway_training_goodput_percent{{{_RUN}}}": "60x90", **_TRAINS}, 61),
    ),
    "PodwayTrainingInput": Case(
        Story({f"podway_training_input_stall_percent{{{_RUN}}}": "40x30", **_TRAINS}, 16, _RUNS),
        Story(  # it has ended: nobody waits
            {
                f"podway_training_input_stall_percent{{{_RUN}}}": "40x30",
                f'podway_training_state{{{_RUN},state="training"}}': "0x30",
            },
            16,
        ),
    ),
    "PodwayServingFails": Case(
        Story(_requests("0+97x20", "0+3x20"), 15, {"model_name": "m"}),
        Story(_requests("0+99x20", "0+1x20"), 15),
    ),
    "PodwayServingSlow": Case(
        Story(_latency("0+980x30", "0+1000x30"), 20, {"model_name": "m"}),
        Story(_latency("0+999x30", "0+1000x30"), 20),
    ),
    "PodwayServingDown": Case(
        Story(
            {'up{job="podway-serving",instance="i"}': "1 0x10"},
            5,
            {"job": "podway-serving", "instance": "i"},
        ),
        Story({'up{job="another",instance="i"}': "1 0x10"}, 5),
    ),
    "PodwayServingLoadFails": Case(
        Story(
            {
                ":tensorflow:cc:saved_model:load_attempt_count"
                '{instance="i",model_path="/m/3",status="fail"}': "1+1x10"
            },
            5,
            {"instance": "i", "model_path": "/m/3"},
        ),
        Story(
            {
                ":tensorflow:cc:saved_model:load_attempt_count"
                '{instance="i",model_path="/m/3",status="success"}': "1+1x10"
            },
            5,
        ),
    ),
    "PodwayServingEmptyLists": Case(
        Story(
            {
                _LISTS: "0+100x20",
                _LISTS.replace("_recommendations", "_empty_recommendations"): "0+2x20",
            },
            15,
            _SERVED,
        ),
        Story(
            {
                _LISTS: "0+1000x20",
                _LISTS.replace("_recommendations", "_empty_recommendations"): "0+2x20",
            },
            15,
        ),
    ),
    "PodwayServingInvalidScores": Case(
        Story(
            {_LISTS.replace("_recommendations", "_invalid_recommendations"): "0x3 1x3"}, 5, _SERVED
        ),
        Story({_LISTS.replace("_recommendations", "_invalid_recommendations"): "5x10"}, 5),
    ),
    "PodwayServingLogDrops": Case(
        Story(
            {'podway_serving_dropped_log_requests_total{instance="i"}': "0+1x40"},
            30,
            {"instance": "i"},
        ),
        Story({'podway_serving_dropped_log_requests_total{instance="i"}': "7x40"}, 30),
    ),
    "PodwayLiveDrift": Case(
        Story(
            {'podway_live_drift{model="m",version="3",feature="history"}': "2x5"},
            5,
            {**_MODEL, "feature": "history"},
        ),
        Story({'podway_live_drift{model="m",version="3",feature="history"}': "1x5"}, 5),
    ),
    "PodwayLiveUnknown": _live(
        'podway_live_unknown_share{model="m",version="3",feature="history"}',
        {**_MODEL, "feature": "history"},
    ),
    "PodwayLiveFallback": _live('podway_live_fallback_share{model="m",version="3"}', _MODEL),
    "PodwayLivePopular": _live('podway_live_popular_share{model="m",version="3"}', _MODEL),
    "PodwayRolloutReturned": Case(
        Story({'podway_rollout_phase{model="m",phase="returned"}': "1x5"}, 5, {"model": "m"}),
        Story({'podway_rollout_phase{model="m",phase="stable"}': "1x5"}, 5),
    ),
    "PodwayRolloutStands": Case(
        Story(
            {
                'podway_rollout_since_timestamp_seconds{model="m"}': "0x60",
                'podway_rollout_phase{model="m",phase="loading"}': "1x60",
            },
            31,
            {"model": "m"},
        ),
        Story(  # a canary may stay for long
            {
                'podway_rollout_since_timestamp_seconds{model="m"}': "0x60",
                'podway_rollout_phase{model="m",phase="canary"}': "1x60",
                'podway_rollout_phase{model="m",phase="loading"}': "0x60",
            },
            31,
        ),
    ),
    "PodwayLoopStopped": Case(
        Story(
            {'podway_loop_last_outcome{experiment="e",outcome="stopped"}': "1x5"},
            5,
            {"experiment": "e"},
        ),
        Story({'podway_loop_last_outcome{experiment="e",outcome="stopped"}': "0x5"}, 5),
    ),
    "PodwayLoopSilent": Case(
        Story(
            {
                'podway_loop_ended_timestamp_seconds{experiment="e",outcome="served"}': (
                    f"{LONG_AGO}x5"
                ),
                'podway_loop_ended_timestamp_seconds{experiment="e",outcome="stopped"}': "0x5",
            },
            5,
            {"experiment": "e"},
        ),
        Story(
            {
                'podway_loop_ended_timestamp_seconds{experiment="e",outcome="served"}': (
                    f"{LONG_AGO}x5"
                ),
                'podway_loop_ended_timestamp_seconds{experiment="e",outcome="unchanged"}': "0x5",
            },
            5,
        ),
    ),
    "PodwayMonitorDown": Case(
        Story(
            {'up{job="podway-monitor",instance="i"}': "0x10"},
            6,
            {"job": "podway-monitor", "instance": "i"},
        ),
        Story({'up{job="podway-monitor",instance="i"}': "0x10"}, 4),
    ),
    "PodwayMonitorStale": Case(
        Story({'podway_monitor_pass_timestamp_seconds{subject="e"}': "0x30"}, 16, {"subject": "e"}),
        Story({'podway_monitor_pass_timestamp_seconds{subject="e"}': "0x30"}, 14),
    ),
    "PodwayMonitorProblem": Case(
        Story(
            {'podway_monitor_problem{subject="e",part="data"}': "1x20"},
            11,
            {"subject": "e", "part": "data"},
        ),
        Story({'podway_monitor_problem{subject="e",part="data"}': "1x5 0x3 1x5"}, 11),
    ),
}
