"""A folder of answers: parts, rejected rows, manifest; scores and embeddings; other engines."""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath

import podway
from podway.beam.engines.options import Local
from podway.framework import artifact
from podway.framework.config.online import SqliteStore
from podway.framework.schema.schema import FIRST_VALUE
from podway.launch.batch import answer, estimate, file, folder, predict, stored
from podway.launch.batch.source import OfItems, OfUsers
from podway.online.store import answers, vectors
from podway.online.store.open import opened

K = 4


def everybody(model, *, targets: bool = False) -> OfUsers:
    users = model.known_users(targets=targets)
    return OfUsers(users, np.arange(len(users)), targets)


def test_a_folder_has_parts_and_a_manifest_that_names_each_file(run, tmp_path):
    output = tmp_path / "answers"
    made = predict.predict(run, everybody(run), output, k=K, part=20)
    manifest = artifact.read(output, folder.KIND)
    files = list(artifact.walk(epath.Path(output)))
    assert files == ["manifest.json", *(f"recommendations/part-0000{i}.parquet" for i in range(4))]
    assert [each.path for each in manifest.files] == files[1:]
    assert manifest.inputs["model"] == run.place.manifest.version
    assert manifest.inputs["dataset"] == run.place.manifest.inputs["dataset"]
    table = pq.read_table(output / "recommendations")
    assert made == (len(table), 0, 0)
    predict.predict(run, everybody(run), tmp_path / "x.parquet", k=K, part=20)
    assert table.to_pylist() == pq.read_table(tmp_path / "x.parquet").to_pylist()
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert predict.predict(run, everybody(run), output, k=K, part=20) is None
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before
    with pytest.raises(podway.RequestError, match="of another question: k is 3 here and 4 there"):
        predict.predict(run, everybody(run), output, k=3, part=20)
    (output / files[2]).write_bytes(b"altered")
    with pytest.raises(artifact.ArtifactError, match=r"part-00001.parquet has 7 bytes"):
        predict.predict(run, everybody(run), output, k=K, part=20)


def test_a_folder_of_somebody_else_is_left_alone(run, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(podway.RequestError, match=r"not made by `podway predict`: it has \['mine"):
        predict.predict(run, everybody(run), tmp_path, k=K)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_who_is_unknown_is_listed_and_counted(run, tmp_path):
    names = [run.users[3], "nobody", run.users[1], "no one"]
    source = OfUsers.named(run.known_users(), names, False)
    made = predict.predict(run, source, tmp_path / "a", k=K)
    assert made == (2 * K, 0, 2)
    rejected = pq.read_table(tmp_path / "a" / "rejected").to_pylist()
    reason = "the dataset has no such user"
    assert rejected == [
        {"row": 1, "user": "nobody", "reason": reason},
        {"row": 3, "user": "no one", "reason": reason},
    ]
    assert "rejected/asked.parquet" in [
        each.path for each in artifact.read(tmp_path / "a", folder.KIND).files
    ]
    some = tmp_path / "h.csv"
    some.write_text(f"user,more,history\nü,1,{run.items[0]} ?\nw,2,? !\nx,3,\n")
    source = file.OfFile(str(some), run.engine.items, timed=False)
    assert source.total == 3
    made = predict.predict(run, source, tmp_path / "b.parquet", k=K, part=1)
    assert made == (K, 2, 0)
    assert set(pq.read_table(tmp_path / "b.parquet")["user"].to_pylist()) == {"ü"}
    rejected = pq.read_table(tmp_path / "b.rejected.parquet").to_pylist()
    assert [(each["row"], each["user"]) for each in rejected] == [(1, "w"), (2, "x")]
    assert "knows none of the items" in rejected[0]["reason"]
    assert sorted(path.name for path in tmp_path.glob("b*")) == ["b.parquet", "b.rejected.parquet"]


def test_scores_and_embeddings_are_those_of_the_model(run, published, tmp_path):
    users = run.users
    predict.predict(published, everybody(published), tmp_path / "s", what="scores", part=30)
    found = pq.read_table(tmp_path / "s" / "scores")
    assert tuple(found["user"].to_pylist()) == users
    scores = np.stack(found["scores"].to_numpy())
    np.testing.assert_allclose(scores, run.scores(users=users), 0, 1e-5)
    part = pq.read_schema(tmp_path / "s" / "scores" / "part-00001.parquet")
    assert tuple(json.loads(part.metadata[answer.ITEMS.encode()])) == run.items
    chosen = podway.Filter(run.items[5:8])
    output = tmp_path / "few.parquet"
    predict.predict(run, everybody(run), output, what="scores", filter=chosen)
    few = np.stack(pq.read_table(output)["scores"].to_numpy())
    np.testing.assert_allclose(few, run.scores(users=users)[:, 5:8], 0, 1e-5)
    assert tuple(json.loads(pq.read_schema(output).metadata[b"items"])) == run.items[5:8]

    predict.predict(run, everybody(run), tmp_path / "e", what="embeddings", part=30)
    vectors = np.stack(pq.read_table(tmp_path / "e" / "embeddings")["embedding"].to_numpy())
    source = OfItems(run.engine.items, FIRST_VALUE)
    predict.predict(run, source, tmp_path / "i", what="item-embeddings", part=10)
    items = pq.read_table(tmp_path / "i" / "item-embeddings")
    assert tuple(items["item"].to_pylist()) == run.items
    assert items["title"].to_pylist() == run.attributes["title"].tolist()
    table = np.stack(items["embedding"].to_numpy())
    np.testing.assert_allclose(vectors @ table.T, run.scores(users=users), rtol=1e-4, atol=1e-5)


def test_users_of_files(run, tmp_path):
    names = list(run.users[2:5])
    pq.write_table(pa.table({"a": [1, 2, 3], "user": names}), tmp_path / "u.parquet")
    (tmp_path / "u.jsonl").write_text("".join(json.dumps({"user": x}) + "\n" for x in names))
    (tmp_path / "u.csv").write_text("user\n" + "\n".join(names))
    (tmp_path / "u.txt").write_text("\ufeff" + "\n".join(names))
    for suffix in ("parquet", "jsonl", "csv", "txt"):
        assert file.listed(str(tmp_path / f"u.{suffix}")) == names
        assert not file.has_histories(str(tmp_path / f"u.{suffix}"))
    (tmp_path / "h.jsonl").write_text('{"user": 1, "history": ["i1"]}')
    assert file.has_histories(str(tmp_path / "h.jsonl"))
    (tmp_path / "bad.csv").write_text("id\n1\n")
    with pytest.raises(podway.RequestError, match=r"bad.csv has no column \['user'\]; it has"):
        file.listed(str(tmp_path / "bad.csv"))


def test_a_dry_run_says_how_much_and_writes_nothing(run, tmp_path):
    job = predict.planned(run, everybody(run), tmp_path / "x", k=K, part=20)
    said = estimate.describe(run, job, Local())
    assert f"recommendations of {len(run.users)} users by run" in said
    assert "4 parts of 20" in said
    assert "on local with 1 of such workers: about" in said
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys
import numpy as np
import podway
from podway.beam.engines.options import Local
from podway.launch.batch import predict
from podway.launch.batch.source import OfUsers
if __name__ == "__main__":
    model = podway.load(sys.argv[1])
    users = model.known_users()
    predict.predict(model, OfUsers(users, np.arange(len(users)), False), sys.argv[2], k=4, part=2,
                    engine=Local(workers=2, mode="multi_processing"))
"""


@pytest.mark.slow
def test_processes_of_their_own_killed_with_all_they_do(shop, published, tmp_path):
    """The folder is the same in the end, byte by byte, whoever made which part."""
    output, script = tmp_path / "x", tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(shop.model), str(output)]
    process = subprocess.Popen(command, start_new_session=True)
    end = time.monotonic() + 400
    while len(list((output / "recommendations").glob("part-*"))) < 3:
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, 9)
    process.wait()
    assert not (output / "manifest.json").exists()
    subprocess.run(command, check=True, timeout=600)
    artifact.read(output, folder.KIND)
    predict.predict(published, everybody(published), tmp_path / "y", k=4, part=2)
    assert contents(output) == contents(tmp_path / "y")


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.parquet")
    }


@pytest.mark.parametrize("name", ["x", "x.parquet"])
def test_answers_go_to_the_store_again_and_again(run, tmp_path, name):
    target = stored.Target(SqliteStore(), str(tmp_path), "shop", 3600)
    output = tmp_path / name
    predict.predict(run, everybody(run), output, k=K, part=25)
    job = predict.planned(run, everybody(run), output, k=K, part=25)
    for _ in range(2):
        assert stored.store(job, output, target, Local()) == len(run.users)
    found = run.recommend(users=run.users, k=K)
    with opened(SqliteStore(), tmp_path, "shop") as store:
        values = store.read(answers.LIST, [*run.users, "nobody"])
        assert values.pop() is None
        for value, wanted in zip(values, found, strict=True):
            assert value is not None
            listed = answers.unpack_list(value.content)
            assert listed.model == run.place.manifest.version
            assert [item for item, _ in listed.items] == [each.item for each in wanted]
    with pytest.raises(podway.RequestError, match="--store keeps recommendations, embeddings, it"):
        stored.check("scores", True)


def test_vectors_go_to_the_store(run, tmp_path):
    target = stored.Target(SqliteStore(), str(tmp_path), "shop")
    source = OfItems(run.engine.items, FIRST_VALUE)
    predict.predict(run, source, tmp_path / "i", what="item-embeddings")
    job = predict.planned(run, source, tmp_path / "i", what="item-embeddings")
    assert stored.store(job, tmp_path / "i", target, Local()) == len(run.items)
    with opened(SqliteStore(), tmp_path, "shop") as store:
        [value] = store.read(vectors.ITEM_VECTOR, [run.items[3]])
    assert value is not None
    np.testing.assert_array_equal(
        vectors.unpack_vector(value.content).values, run.item_embeddings()[3]
    )
