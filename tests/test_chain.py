"""The whole chain on real data, as a user runs it: processes, ports, files."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests import forked, xla
from tests.launch.test_demo import commands

ROOT = pathlib.Path(__file__).parent.parent
SMALL = [
    *("--trainer.steps", "20", "--trainer.batch-size", "64", "--trainer.evaluate-every", "10"),
    *("--model.width", "16", "--model.blocks", "1", "--model.max-length", "24"),
    *("--export.max-history", "256", "--export.batch-buckets", "1", "2", "8"),
]
MODEL = "movielens_sasrec"


def podway(*arguments: str, code: int = 0) -> str:
    done = forked.run(("podway.launch.cli", *arguments), cwd=ROOT, timeout=600)
    assert done.returncode == code, done.stderr[-4000:]
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> pathlib.Path:
    """What `podway run` makes, started as a user does: by Python itself."""
    path = tmp_path_factory.mktemp("workdir")
    command = [sys.executable, "-m", "podway.launch.cli", "run", MODEL, "--workdir", str(path)]
    done = subprocess.run([*command, *SMALL], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    out = done.stdout
    assert [line.split(":")[0] for line in out.splitlines() if "building" in line] == [
        "data",
        "train",
        "evaluate",
        "export",
    ]
    return path


@pytest.fixture(scope="module")
def server(workdir):
    """`podway serve` on free ports: (process, gRPC address, REST address).

    The last test that takes it ends it.
    """
    command = [sys.executable, "-m", "podway.launch.cli", "serve", MODEL, "--workdir", str(workdir)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--rest-port", "0"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"serving on gRPC (\S+), REST (\S+)", line):
            break
    else:
        raise AssertionError("".join(said))
    yield process, found[1], found[2]
    process.kill()
    process.wait()


def ask(address: str, path: str, body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://{address}{path}", data, timeout=30) as response:
        return json.load(response)


def test_a_second_run_finds_everything_up_to_date(workdir):
    out = podway("run", MODEL, "--workdir", str(workdir), *SMALL)
    lines = [line for line in out.splitlines() if "up to date" in line]
    assert [line.split(":")[0] for line in lines] == ["data", "train", "evaluate", "export"]
    assert "building" not in out


def test_other_overrides_say_how_they_differ_from_the_latest_run(workdir):
    small = [*SMALL, "--trainer.steps", "21", "--optimizer.learning-rate", "1e30"]
    command = "podway.launch.cli", "train", MODEL, "--workdir", str(workdir)
    done = forked.run([*command, *small], cwd=ROOT)
    differ = "optimizer.learning_rate 0.004 → 1e+30; trainer.steps 20 → 21"
    assert f"(not the latest run, but a new one: {differ})" in done.stdout
    assert done.returncode == 1
    assert re.search(
        r"podway: error: .*the loss of step \d+ is (nan|inf), on examples", done.stderr
    )
    assert "Traceback" not in done.stderr


def test_evaluate_prints_the_table_beside_the_baselines(workdir):
    out = podway("evaluate", MODEL, "--workdir", str(workdir), *SMALL)
    table = out[out.index("SasRec") :].splitlines()
    assert table[0].split() == ["SasRec", "popularity", "seq-KNN"]
    rows = {line.split()[0]: line for line in table[1:] if line.strip()}
    for metric in ("hr", "ndcg", "mrr", "coverage", "popularity_bias"):
        for k in (10, 20):
            assert f"{metric}@{k}" in rows
    assert re.search(r"\d\.\d{4} \[\d\.\d{4}, \d\.\d{4}\]", rows["ndcg@10"])


def test_real_data_adds_up(workdir):
    (manifest,) = workdir.glob("datasets/movielens/*/manifest.json")
    details = json.loads(manifest.read_text())["details"]
    assert details["report"]["rows"] == 100_004
    examples = {split: details["splits"][split]["examples"] for split in details["splits"]}
    assert examples["train"] == examples["validation"] == examples["test"] == 671


def test_the_server_answers_over_rest_and_grpc_alike(server):
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    _, grpc_address, rest_address = server
    status = ask(rest_address, f"/v1/models/{MODEL}")["model_version_status"]
    assert [(row["version"], row["state"]) for row in status] == [("1", "AVAILABLE")]
    history = ["1", "50", "no such film", "318"]
    body = {"instances": [{"history": history}, {"history": ["1", "", "", ""]}]}
    rest = ask(rest_address, f"/v1/models/{MODEL}:predict", body)["predictions"]
    assert len(rest) == 2
    assert len(rest[0]["item"]) == 20
    assert not set(rest[0]["item"]) & set(history)
    assert rest[0]["score"] == sorted(rest[0]["score"], reverse=True)
    assert len(set(rest[0]["title"])) == 20  # of films, by export.answers
    with grpc.insecure_channel(grpc_address) as channel:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = MODEL
        request.inputs["history"].CopyFrom(tf.make_tensor_proto([history]))
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        items = tf.make_ndarray(stub.Predict(request, timeout=30).outputs["item"])[0]
    assert [item.decode() for item in items] == rest[0]["item"]


def test_served_scores_are_the_evaluated_ones(workdir, server):
    """The hit rate asked over REST for every test user is the one in the table."""
    from podway.framework.input.batches import Dataset, evaluation_batches

    (directory,) = workdir.glob("datasets/movielens/*")
    dataset = Dataset.open(directory)
    values = dataset.vocabulary("item").values
    hits = users = 0
    for batch in evaluation_batches(dataset, "test", history=256, batch_size=64):
        rows = [
            {"history": [values[i] for i in history]}
            for history, valid in zip(batch["history"], batch["valid"], strict=True)
            if valid
        ]
        answers = ask(server[2], f"/v1/models/{MODEL}:predict", {"instances": rows})["predictions"]
        for answer, target in zip(answers, batch["target"], strict=False):
            users += 1
            hits += values[target] in answer["item"][:10]
    (table,) = workdir.glob(f"evaluations/{MODEL}/*/table.json")
    expected = json.loads(table.read_text())["SasRec"]["hr@10"]["value"]
    # Users with more than 256 events see items again that lie further back: a few at most.
    assert abs(hits / users - expected) < 0.005


def test_sigterm_ends_the_server_well(server):
    process, _, rest_address = server
    ask(rest_address, f"/v1/models/{MODEL}/metadata")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_port_in_use_is_one_clear_sentence(workdir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = podway(
            *("serve", MODEL, "--workdir", str(workdir), "--port", port, "--rest-port", "0"), code=1
        )
    assert f"port {port}" in said
    assert "in use" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.columns.user", "viewer"], "viewer"),
        (["--data.min-user-events", "100000"], "data.min_user_events"),
        (["--trainer.seed", "5", "--mesh.data", "64"], "asks for 64 devices; there are 2"),
        (["--trainer.batch-size", "7", "--mesh.data", "2"], "trainer.batch_size"),
        (["--export.top-k", "100000"], "export.top_k"),
    ],
)
def test_bad_input_is_one_clear_sentence_and_leaves_nothing(
    workdir, monkeypatch, arguments, message
):
    monkeypatch.setenv("XLA_FLAGS", xla.flags(devices=2))
    before = sorted(workdir.rglob("manifest.json"))
    said = podway("export", MODEL, "--workdir", str(workdir), *SMALL, *arguments, code=1)
    error = said[said.index("podway: error:") :]
    assert message in error
    assert "Traceback" not in said
    assert not list(workdir.rglob("_staging*"))
    assert sorted(workdir.rglob("manifest.json")) == before


@pytest.mark.slow
def test_the_demo_recommends_and_ends_in_commands_that_work(workdir):
    done = subprocess.run(
        [sys.executable, "-m", "podway.launch.demo", "--workdir", str(workdir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("  ★ ") == 3 * 5
    assert re.search(r"^serve: [\d.]+ (s|min)", done.stdout, re.MULTILINE)
    steps = done.stdout[done.stdout.index("What to do next") :]
    recommend, board, _ = commands(steps)
    assert "Toy Story" in steps
    assert len(re.findall(r"^ +\d  ", podway(*recommend), re.MULTILINE)) == 5
    podway(*board)
    assert (workdir / "board.html").exists()
