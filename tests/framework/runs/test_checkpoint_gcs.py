"""Checkpoints on gs://, through both emulators."""

import json

import pytest

PROGRAM = """
import json, sys
import jax, numpy as np
from podway.framework.runs import checkpoint
from podway.framework.runs import checkpoint_list

run = sys.argv[1]
state = {"step": np.int32(5), "parameters": {"a/kernel": np.arange(12, dtype=np.float32)}}
like = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0])
    ),
    state,
)
for step in (4, 5, 6):
    saving = checkpoint.Checkpoints(f"{run}/checkpoints", {}, keep=2, metric="ndcg@10")
    saving.save(step, state, 640 + step)
    saving.close()
opened = checkpoint.Checkpoints(f"{run}/checkpoints", {}, keep=2, metric="ndcg@10")
restored, position = opened.restore(opened.latest(), like)
opened.close()
np.testing.assert_array_equal(restored["parameters"]["a/kernel"], np.arange(12))
loaded = checkpoint.load_parameters(f"{run}/checkpoints", 6)
np.testing.assert_array_equal(loaded["a/kernel"], np.arange(12))
found = [[entry.name, entry.bytes > 0, entry.problem] for entry in checkpoint_list.entries(run)]
print(json.dumps({"position": position, "found": found}))
"""


@pytest.mark.parametrize("store", ["beam_store", "strict_store"])
def test_checkpoints_on_gs_are_saved_listed_and_restored(store, request):
    store = request.getfixturevalue(store)
    done = store.run("-c", PROGRAM, f"{store.bucket()}/runs/r", JAX_PLATFORMS="cpu")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"position": 646, "found": [["5", True, ""], ["6", True, ""]]}


def test_a_run_lies_on_gs_and_is_resumed_there(beam_store, dataset):
    bucket = beam_store.bucket()

    def train(**options):
        arguments = (str(dataset.directory), f"{bucket}/w", json.dumps(options))
        done = beam_store.run("-m", "tests.framework.worker", *arguments, JAX_PLATFORMS="cpu")
        return done, beam_store.names(f"{bucket}/w")

    broken, names = train(**{"break": 12})
    assert broken.returncode != 0
    assert "the disk is broken" in broken.stderr
    assert not any(name.endswith("manifest.json") for name in names)
    done, names = train()
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["finished"], result["step"]) == (True, 20)
    files = {name.split("/")[3] for name in names if name.count("/") >= 3}
    assert {"manifest.json", "metrics.jsonl", "report.html", "checkpoints"} <= files
    (metrics,) = (name for name in names if name.endswith("metrics.jsonl"))
    blob = beam_store.client().bucket(bucket.removeprefix("gs://")).blob(f"w/{metrics}")
    records = [json.loads(line) for line in blob.download_as_text().splitlines()]
    assert [each["step"] for each in records if "loss" in each] == list(range(1, 21))
