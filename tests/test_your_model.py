"""docs/your_model.md, run as a user would: the files of the page, in a folder of their own."""

import csv
import dataclasses
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from podway.export.verification import verify
from podway.framework.config import Export
from podway.launch import experiments, stages

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "your_model.md"
FILE = re.compile(r'```python\n("""(\w+\.py): .*?)```', re.DOTALL)
SONGS = [f"song {number}" for number in range(12)]


def write_plays(path):
    """Everybody plays the songs in their order; a rating is that of the song and of the volume."""
    draw = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "song", "time", "rating", "device", "volume"])
        for user in range(60):
            first, volume = int(draw.integers(12)), float(draw.random())
            for step in range(int(draw.integers(7, 12))):
                song = (first + step) % 12
                row = [f"user {user}", SONGS[song], 1_600_000_000 + 60 * step, song % 5 + volume]
                writer.writerow([*row, "phone" if user % 2 else "radio", volume])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files of the page beside their data, and the working directory."""
    found = {name: code for code, name in FILE.findall(PAGE.read_text())}
    assert set(found) == {"gru4rec.py", "ratings.py"}
    for name, code in found.items():
        (tmp_path / name).write_text(code)
    write_plays(tmp_path / "plays.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verify, "in_fresh_process", verify.verify)
    return tmp_path


def run(file, steps):
    """Data to a published model, of a small form of a file's experiment; and that."""
    found = experiments.load(file)
    small = dataclasses.replace(
        found,
        trainer=dataclasses.replace(
            found.trainer,
            steps=steps,
            batch_size=32,
            evaluate_every=steps,
            checkpoint_every=steps,
            shuffle_window_blocks=1,
        ),
        evaluation=dataclasses.replace(found.evaluation, batch_size=64, bootstrap=10),
        export=Export(top_k=3, batch_buckets=(1,)),
    )
    return tf.saved_model.load(str(stages.run(small, "workdir"))).signatures, small


def test_the_recommender_of_the_page_serves_what_comes_next(folder):
    code = (folder / "gru4rec.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 70
    signatures, _ = run("gru4rec.py", 60)
    answer = signatures["serving_default"](history=tf.constant([["song 3", "song 4", "song 5"]]))
    assert answer["item"].numpy()[0, 0] == b"song 6"


def test_the_regression_of_the_page_serves_a_number(folder):
    signatures, _ = run("ratings.py", 150)

    def rating(song, volume):
        sent = {"user": ["user 1"], "song": [song], "device": ["phone"], "volume": [volume]}
        return float(
            signatures["serving_default"](
                **{name: tf.constant(value) for name, value in sent.items()}
            )["rating"].numpy()[0]
        )

    assert abs(rating("song 4", 0.5) - 4.5) < 0.8
    assert abs(rating("song 5", 0.5) - 0.5) < 0.8
