"""The log of requests and what is counted of answers, through a server."""

import json
import math
import pathlib
import stat
import time

import numpy as np
import pytest

from podway.export.server import metrics, pseudonym, quality, request_log
from podway.export.server.error import ServerError
from podway.export.server.metrics import Metrics
from podway.export.server.request_log import RequestLog, Writer
from podway.export.server.runtime.servable import Signature
from podway.export.server.runtime.tensors import TensorSpec
from tests.export.server.conftest import predict_request, running
from tests.export.server.example_model import example
from tests.export.server.test_metrics import samples, value

KEY = b"0123456789abcdef"


def signature(*outputs: str) -> Signature:
    def spec(name):
        return TensorSpec(name, 1, (None, None))

    return Signature("s", {"history": spec("h")}, {name: spec(name) for name in outputs}, {}, None)


RECOMMENDS = signature("item", "score")


def answer(*rows):
    scores = np.array(rows, np.float32)
    return [np.full(scores.shape, b"i1", object), scores]


def lines(folder: pathlib.Path) -> list[dict]:
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def offered(options: RequestLog, *requests, counted: Metrics | None = None) -> list[dict]:
    writer = Writer(options, counted or Metrics())
    for inputs, outputs in requests:
        writer.offer("m", 3, RECOMMENDS, inputs, outputs)
    writer.close()
    return lines(options.directory)


def history(*rows):
    return [np.array(rows, object)]


def test_a_request_is_a_line_and_what_is_no_number_is_null(tmp_path):
    request = history([b"i1", b""], [b"\xff", b"i2"])
    (line,) = offered(RequestLog(tmp_path, 1.0), (request, answer([1, math.nan], [math.inf, 0])))
    assert line["inputs"] == {"history": [["i1", ""], ["�", "i2"]]}
    assert line["outputs"]["score"] == [[1.0, None], [None, 0.0]]
    assert (line["model"], line["version"], line["signature"]) == ("m", 3, "s")
    assert abs(line["time"] - time.time()) < 60
    assert line["hashed"] == []
    (file,) = tmp_path.glob("*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_names_that_are_to_be_hashed_are_in_inputs_outputs_and_features(tmp_path):
    options = RequestLog(tmp_path, 1.0, frozenset({"history", "item", "x"}), KEY)
    (line,) = offered(options, (history([b"i1", b""]), answer([1, 2])))
    hashed = pseudonym.of(b"i1", KEY)
    assert line["inputs"]["history"] == [[hashed, ""]]
    assert line["outputs"]["item"] == [[hashed, hashed]]
    assert line["hashed"] == ["history", "item"]
    assert "i1" not in next(tmp_path.glob("*.jsonl")).read_text()
    assert hashed != pseudonym.of(b"i1", KEY[::-1])


def test_examples_are_logged_as_their_features():
    parsed = request_log._examples(
        np.array([example(x=[1.0, 2.0]).SerializeToString(), b""], object)
    )
    assert parsed == {"x": [[1.0, 2.0], []]}


def test_of_a_large_request_the_first_rows_are_logged(tmp_path):
    rows = [[b"i%d" % row] for row in range(1000)]
    scores = [[1.0, 0.0]] * 1000
    (line,) = offered(RequestLog(tmp_path, 1.0), (history(*rows), answer(*scores)))
    assert len(line["inputs"]["history"]) == len(line["outputs"]["score"]) == request_log.ROWS


def test_the_sampling_rate_is_kept(tmp_path):
    counted = Metrics()
    writer = Writer(RequestLog(tmp_path, 0.2), counted)
    for number in range(4000):
        writer.offer("m", 1, RECOMMENDS, history([b"i1"]), answer([1, 0]))
        if number % 100 == 99:
            time.sleep(0.06)
    writer.close()
    assert len(lines(tmp_path)) == pytest.approx(800, abs=120)  # over 4 standard deviations


def test_files_end_at_their_size_and_the_oldest_go(tmp_path):
    counted = Metrics()
    options = RequestLog(tmp_path, 1.0, file_bytes=4096, files=3)
    writer = Writer(options, counted)
    for _ in range(40):
        writer.offer("m", 1, RECOMMENDS, history([b"x" * 1000]), answer([1, 0]))
        time.sleep(0.001)
    writer.close()
    files = list(tmp_path.glob("*.jsonl"))
    assert len(files) == 3
    assert all(file.stat().st_size <= 4096 for file in files)
    assert counted.counted(metrics.LOGGED.path) == 40
    again = Writer(options, counted)  # a server that starts again bounds what was left
    again.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 3


def test_a_queue_that_is_full_drops_and_never_waits(tmp_path, monkeypatch):
    counted = Metrics()
    writer = Writer(RequestLog(tmp_path, 1.0), counted)
    monkeypatch.setattr(writer, "_write", lambda entries: time.sleep(0.3))
    start = time.perf_counter()
    for _ in range(4 * request_log.QUEUE):
        writer.offer("m", 1, RECOMMENDS, history([b"i1"]), answer([1, 0]))
    assert time.perf_counter() - start < 0.3
    assert counted.counted(metrics.DROPPED.path) >= 2 * request_log.QUEUE
    writer.close(0.1)


def test_a_disk_that_fails_costs_lines_and_no_request(tmp_path):
    counted = Metrics()
    folder = tmp_path / "log"
    writer = Writer(RequestLog(folder, 1.0), counted)
    next(folder.iterdir()).unlink()
    folder.rmdir()
    writer.offer("m", 1, RECOMMENDS, history([b"i1"]), answer([1, 0]))
    writer.close()
    assert counted.counted(metrics.DROPPED.path) == 1


def test_answers_are_counted():
    counted = Metrics()
    low = quality.LOWEST
    rows = answer([3, 1], [2, low], [low, low], [math.nan, 1], [7, math.nan])
    quality.count(counted, "m", 3, RECOMMENDS, rows)
    quality.count(counted, "m", 3, signature("label"), [np.ones(5, np.float32)])
    found, labels = samples(counted.page()), {"model_name": "m", "model_version": "3"}
    names = ("recommendations", "empty_recommendations", "short_recommendations")
    names += ("invalid_recommendations",)
    told = [value(found, f"podway_serving_{name}_total", **labels) for name in names]
    assert told == [5, 1, 1, 2]
    assert value(found, "podway_serving_best_score_count", **labels) == 2
    assert value(found, "podway_serving_best_score_sum", **labels) == 5


CONFIG = 'directory: "{}/log" sampling_rate: 1.0 hashed: "history" hash_key_file: "{}/key"'


def test_a_server_logs_and_counts(site, tmp_path):
    (tmp_path / "key").write_bytes(KEY)
    file = tmp_path / "log.config"
    file.write_text(CONFIG.format(tmp_path, tmp_path))
    site.put(1)
    site.ask_for_versions(1)
    with running(site, request_log_config_file=str(file)) as server:
        server.wait_for(lambda: server.states() == {1: "AVAILABLE"})
        server.prediction.Predict(predict_request(history=[["a", "b"], ["c", ""]]))
        status, _ = server.rest("/v1/models/m:predict", {"instances": [{"history": ["d"]}]})
        assert status == 200
    first, second = lines(tmp_path / "log")
    assert [len(row) for row in first["inputs"]["history"]] == [2, 2]
    assert second["inputs"]["history"] == [[pseudonym.of(b"d", KEY)]]
    assert first["outputs"]["score"][0][0] == 2
    assert (first["model"], first["version"]) == ("m", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('directory: "log" sampling_rate: 1', "directory is 'log'; give the absolute path"),
        ('directory: "/l" sampling_rate: 2', "sampling_rate is 2; give a share above 0"),
        ('directory: "/l"', "sampling_rate is 0; give a share"),
        ('directory: "/l" sampling_rate: nan', "sampling_rate is nan; give a share"),
        ('directory: "/l" sampling_rate: 1 hashed: "x"', "hashed and hash_key_file belong"),
        (
            'directory: "/l" sampling_rate: 1 max_files { value: 1 }',
            "max_files is 1; give 2 or more",
        ),
        (
            'directory: "/l" sampling_rate: 1 hashed: "x" hash_key_file: "/nowhere"',
            "hash_key_file: /nowhere cannot be read",
        ),
        ('directory: "/l" rate: 1', "is no RequestLogConfig"),
    ],
)
def test_a_config_that_cannot_be_is_said(tmp_path, text, said):
    file = tmp_path / "log.config"
    file.write_text(text)
    with pytest.raises(ServerError, match=said):
        request_log.read(str(file))


def test_a_key_that_is_short_is_said(tmp_path):
    (tmp_path / "key").write_bytes(b"short")
    file = tmp_path / "log.config"
    file.write_text(CONFIG.format(tmp_path, tmp_path))
    with pytest.raises(ServerError, match="has 5 bytes; give 16 to 64"):
        request_log.read(str(file))
