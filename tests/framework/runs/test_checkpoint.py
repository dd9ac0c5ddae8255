import random
import shutil

import jax
import numpy as np
import optax
import pytest

from podway.framework import exit_codes, task
from podway.framework.models.sasrec import SasRec
from podway.framework.runs import bits, checkpoint, checkpoint_list
from podway.framework.runs.checkpoint import (
    CheckpointError,
    Checkpoints,
    DamagedError,
    UnwrittenError,
)


@pytest.fixture
def state(dataset):
    parameters = task.initialize(SasRec(width=8, blocks=1), dataset.schema, jax.random.key(0))
    return {
        "step": np.int32(5),
        "parameters": parameters,
        "optimizer": optax.adamw(1e-3).init(parameters),
    }


def opened(path, experiment=None, keep=2):
    experiment = experiment or {"trainer": {"steps": 5}}
    return Checkpoints(path, experiment, keep=keep, metric="ndcg@10")


def shapes(state):
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), state
    )


def test_state_and_position_come_back_as_one(tmp_path, state):
    saving = opened(tmp_path)
    saving.save(5, state, 640)
    saving.close()
    reopened = opened(tmp_path)
    assert reopened.latest() == 5
    restored, position = reopened.restore(5, shapes(state))
    reopened.close()
    assert position == 640
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    parameters = checkpoint.load_parameters(tmp_path, 5)
    assert parameters.keys() == state["parameters"].keys()
    jax.tree.map(np.testing.assert_array_equal, parameters, dict(state["parameters"]))


def test_a_relative_directory_will_do(tmp_path, state, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saving = opened("checkpoints")
    saving.save(5, state, 640)
    saving.close()
    assert checkpoint.load_parameters("checkpoints", 5).keys() == state["parameters"].keys()


def test_the_latest_and_the_best_are_kept_over_restarts(tmp_path, state):
    quality = {1: 0.1, 2: 0.4, 3: 0.3, 4: None, 5: 0.2, 6: None}
    for step, value in quality.items():
        each = opened(tmp_path)
        each.save(step, state, step, None if value is None else {"ndcg@10": value})
        each.close()
    final = opened(tmp_path)
    assert (final.latest(), final.best(), final.metrics(2)) == (6, 2, {"ndcg@10": 0.4})
    final.close()
    kept = sorted(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit())
    assert kept == [2, 5, 6]


def test_a_checkpoint_of_another_experiment_is_refused(tmp_path, state):
    saving = opened(tmp_path)
    saving.save(5, state, 640)
    saving.close()
    other = opened(tmp_path, {"trainer": {"steps": 6}})
    with pytest.raises(CheckpointError, match=r"trainer\.steps is 6 here and 5 there"):
        other.restore(5, shapes(state))
    other.close()


def test_a_state_that_does_not_fit_names_the_arrays(tmp_path, state, dataset):
    saving = opened(tmp_path)
    saving.save(5, state, 640)
    saving.close()
    wider = dict(state)
    wider["parameters"] = task.initialize(
        SasRec(width=16, blocks=1), dataset.schema, jax.random.key(0)
    )
    reopened = opened(tmp_path)
    with pytest.raises(CheckpointError, match=r"has parameters\.\S+ \(.*\), not \(.*\)"):
        reopened.restore(5, shapes(wider))
    del wider["optimizer"]
    with pytest.raises(CheckpointError, match="has optimizer"):
        reopened.restore(5, shapes(wider))
    reopened.close()


def test_an_unfinished_checkpoint_does_not_count(tmp_path, state):
    saving = opened(tmp_path)
    saving.save(5, state, 640)
    saving.close()
    (tmp_path / "6.orbax-checkpoint-tmp-1" / "state").mkdir(parents=True)
    reopened = opened(tmp_path)
    assert reopened.latest() == 5
    reopened.close()


def test_every_k_th_and_several_best_are_kept(tmp_path, state):
    saving = Checkpoints(tmp_path, {}, keep=1, metric="ndcg@10", keep_best=2, keep_every=4)
    quality = {1: 0.5, 2: 0.4, 3: 0.1, 4: 0.2, 5: 0.1, 6: 0.3, 7: 0.1}
    for step, value in quality.items():
        saving.save(step, state, step, {"ndcg@10": value})
    saving.close()
    kept = sorted(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit())
    assert kept == [1, 2, 4, 7], "best, second best, every fourth, latest"


def damage(folder, pattern):
    paths = [path for path in folder.rglob(pattern) if path.is_file()]
    assert paths
    for path in paths:
        path.unlink()


@pytest.mark.parametrize("pattern", ["state/**/d/*", "state/manifest.ocdbt", "state/_METADATA"])
def test_a_partial_checkpoint_is_refused_and_named(tmp_path, state, pattern):
    saving = opened(tmp_path)
    for step in (4, 5):
        saving.save(step, state, 640)
    saving.close()
    damage(tmp_path / "5", pattern)
    reopened = opened(tmp_path)
    with pytest.raises(CheckpointError, match=r"/5 is incomplete or damaged \(.*remove it"):
        reopened.restore(5, shapes(state))
    assert reopened.restore(4, shapes(state))[1] == 640
    reopened.close()
    with pytest.raises(CheckpointError, match="/5 is incomplete or damaged"):
        checkpoint.load_parameters(tmp_path, 5)


def test_no_flipped_bit_comes_back_as_another_number(tmp_path, state):
    saving = opened(tmp_path / "good")
    saving.save(5, state, 640)
    saving.close()
    draw = random.Random(0)
    sizes = {
        each.relative_to(tmp_path / "good"): each.stat().st_size
        for each in (tmp_path / "good").rglob("*")
        if each.is_file()
    }
    numbers = [each for each, size in sizes.items() if 2 * size > max(sizes.values())]
    for number in range(12):
        place = tmp_path / str(number)
        shutil.copytree(tmp_path / "good", place)
        for file in numbers:
            content = bytearray((place / file).read_bytes())
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            (place / file).write_bytes(content)
        reopened = opened(place)
        try:
            restored, position = reopened.restore(5, shapes(state))
            jax.tree.map(np.testing.assert_array_equal, restored, state)
            assert position == 640
        except DamagedError:
            pass
        reopened.close()


def test_one_other_bit_is_found_and_its_array_named(tmp_path, state):
    path = next(iter(state["parameters"]))
    words = np.array(state["parameters"][path]).view(np.uint32)
    words.reshape(-1)[3] ^= 1 << 9
    other = state | {"parameters": {**state["parameters"], path: words.view(np.float32)}}
    for name, each in (("good", state), ("other", other)):
        saving = opened(tmp_path / name)
        saving.save(5, each, 640)
        saving.close()
    shutil.rmtree(tmp_path / "good" / "5" / "state")
    shutil.copytree(tmp_path / "other" / "5" / "state", tmp_path / "good" / "5" / "state")
    reopened = opened(tmp_path / "good")
    with pytest.raises(DamagedError, match=rf"parameters\.{path} came back with other bits"):
        reopened.restore(5, shapes(state))
    reopened.close()


def test_what_is_not_there_as_it_was_saved_does_not_count_and_the_one_before_stays(
    tmp_path, state, monkeypatch
):
    saving = opened(tmp_path, keep=1)
    saving.save(4, state, 640)
    saving.wait()
    read = bits.sums_in_files

    def after_damage(folder, paths):
        largest = max(folder.rglob("d/*"), key=lambda path: path.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
        return read(folder, paths)

    monkeypatch.setattr(bits, "sums_in_files", after_damage)
    saving.save(5, state, 768)
    with pytest.raises(UnwrittenError, match=r"/5\S* is .*right after it was written") as found:
        saving.wait()
    assert exit_codes.of(found.value) == exit_codes.CRASHED
    monkeypatch.undo()
    saving.close()
    reopened = opened(tmp_path, keep=1)
    assert reopened.latest() == 4
    assert reopened.restore(4, shapes(state))[1] == 640
    reopened.save(5, state, 768)
    reopened.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5"]


def test_a_checkpoint_is_read_back_before_an_older_one_is_deleted(tmp_path, state, monkeypatch):
    saving, there = opened(tmp_path, keep=1), {}
    read = bits.sums_in_files

    def look(folder, paths):
        there[folder.parent.name.partition(".")[0]] = [
            path.name for path in tmp_path.iterdir() if path.name.isdigit()
        ]
        return read(folder, paths)

    monkeypatch.setattr(bits, "sums_in_files", look)
    for step in (4, 5, 6):
        saving.save(step, state, 640)
    saving.close()
    assert there == {"4": [], "5": ["4"], "6": ["5"]}
    assert [path.name for path in tmp_path.iterdir()] == ["6"]


def test_in_a_hurry_nothing_is_read_and_nothing_deleted(tmp_path, state, monkeypatch):
    saving, read = opened(tmp_path, keep=1), []
    sums = bits.sums_in_files
    monkeypatch.setattr(
        bits, "sums_in_files", lambda folder, paths: (read.append(folder), sums(folder, paths))[1]
    )
    saving.save(4, state, 640)
    saving.save(5, state, 768, hurry=True)
    saving.close()
    assert len(read) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4", "5"]
    again = opened(tmp_path, keep=1)
    again.save(6, state, 896)
    again.close()
    assert [path.name for path in tmp_path.iterdir()] == ["6"]


def test_another_position_than_was_saved_is_damage(tmp_path, state):
    saving = opened(tmp_path)
    saving.save(5, state, 640)
    saving.close()
    file = tmp_path / "5" / "position" / "metadata"
    file.write_text(file.read_text().replace('"examples": 640', '"examples": 641', 1))
    reopened = opened(tmp_path)
    with pytest.raises(DamagedError, match="examples came back with other bits"):
        reopened.restore(5, shapes(state))
    reopened.close()


def test_a_damaged_checkpoint_is_set_aside(tmp_path, state):
    folder = tmp_path / "checkpoints"
    saving = opened(folder)
    for step in (4, 5):
        saving.save(step, state, 640)
    saving.wait()
    damage(folder / "5", "state/_METADATA")
    assert saving.set_aside(5).name == "damaged-5"
    assert saving.latest() == 4
    saving.save(5, state, 640)
    saving.close()
    problems = {entry.name: entry.problem for entry in checkpoint_list.entries(tmp_path)}
    assert problems == {"4": "", "5": "", "damaged-5": "damaged, set aside"}


def test_the_moving_average_is_what_is_loaded_and_moments_are_not_read(tmp_path, state):
    path = next(iter(state["parameters"]))
    average = {path: np.asarray(state["parameters"][path]) + 1}
    saving = opened(tmp_path)
    saving.save(5, state | {"ema": average}, 640)
    saving.close()
    parameters = checkpoint.load_parameters(tmp_path, 5)
    assert parameters.keys() == state["parameters"].keys()
    np.testing.assert_array_equal(parameters[path], average[path])
    assert all(type(array) is np.ndarray for array in parameters.values())
    assert checkpoint.load(tmp_path, 5, ("step",)).keys() == {"step"}


def test_the_list_says_what_can_be_restored(tmp_path, state):
    folder = tmp_path / "checkpoints"
    saving = opened(folder)
    for step, metrics in ((4, {"ndcg@10": 0.25}), (5, None), (6, None)):
        saving.save(step, state, 640, metrics)
        saving.close()
        saving = opened(folder, keep=9)
    saving.close()
    damage(folder / "5", "state/**/d/*")
    damage(folder / "6", "position/**/*")
    (folder / "6" / "position").rmdir()
    (folder / "7.orbax-checkpoint-tmp-1" / "state").mkdir(parents=True)
    found = {entry.name: entry for entry in checkpoint_list.entries(tmp_path)}
    assert list(found) == ["4", "5", "6", "7.orbax-checkpoint-tmp-1"]
    assert (found["4"].metrics, found["4"].problem) == ({"ndcg@10": 0.25}, "")
    size = sum(path.stat().st_size for path in (folder / "4").rglob("*") if path.is_file())
    assert found["4"].bytes == size
    assert "is incomplete or damaged" in found["5"].problem
    assert "lacks position" in found["6"].problem
    assert found["7.orbax-checkpoint-tmp-1"].problem == "never finished"
    text = checkpoint_list.table(tmp_path, read=True)
    assert [line.split()[2] for line in text.splitlines()[1:]] == ["yes", "no", "no", "no"]
    with pytest.raises(CheckpointError, match="is no run"):
        next(checkpoint_list.entries(tmp_path / "none"))
