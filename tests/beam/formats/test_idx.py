"""Images in IDX files → rows, → uint8 vectors in the shards."""

import gzip
import struct

import numpy as np
import pyarrow as pa
import pytest

from podway.beam import dataset
from podway.beam.error import DataError
from podway.beam.features import fit
from podway.beam.formats import idx
from podway.framework.config import Columns, GlobalTime, Idx, RowExamples
from podway.framework.config.features import Pixels
from podway.framework.input.batches import Dataset
from tests.beam.conftest import make_data, no_dataset

COLUMNS = Columns(user="name", item="label", time="block")
ROLES = {"user": "name", "item": "label", "time": "block", "image": "image"}
HEIGHT, WIDTH = 2, 3


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, HEIGHT, WIDTH), np.uint8)


def write(folder, part: str, pixels: np.ndarray, labels: list[int], packed: bool = False) -> None:
    contents = {
        "images-idx3": struct.pack(">4B3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes(),
        "labels-idx1": struct.pack(">4BI", 0, 0, 8, 1, len(labels)) + bytes(labels),
    }
    for name, content in contents.items():
        path = folder / f"{part}-{name}-ubyte{'.gz' * packed}"
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
def test_every_image_is_a_row_with_its_label(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(idx, "BLOCK_IMAGES", 2)
    pixels = images(5, 0)
    write(tmp_path, "t10k", pixels, [1, 0, 1, 1, 0], packed)
    path = tmp_path / f"t10k-images-idx3-ubyte{'.gz' * packed}"
    found = list(idx.read(str(path), Idx(classes=("shoe", "hat")), ROLES))
    rows = [row for rows in found for row in pa.table(rows.columns).to_pylist()]
    assert [row["user"] for row in rows] == [f"t10k:{at}" for at in range(5)]
    assert [row["item"] for row in rows] == ["hat", "shoe", "hat", "hat", "shoe"]
    assert [row["time"] for row in rows] == [1_000_000 + at // 2 for at in range(5)]
    assert np.array_equal([row["image"] for row in rows], pixels.reshape(5, -1))
    assert [int(number) for rows in found for number in rows.numbers] == [1, 2, 3, 4, 5]
    assert idx.count(str(path)) == 5


def test_a_dataset_of_images_is_split_by_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "BLOCK_IMAGES", 1)
    train, test = images(8, 1), images(2, 2)
    write(tmp_path, "train", train, [0, 1] * 4)
    write(tmp_path, "t10k", test, [1, 0])
    data = make_data(
        tmp_path / "*-images-idx3-ubyte",
        format=Idx(),
        columns=COLUMNS,
        features=(Pixels("image", size=HEIGHT * WIDTH),),
        examples=RowExamples(),
        split=GlobalTime(validation=0.61, test=0.81),
    )
    opened = Dataset.open(dataset.build(data, tmp_path / "w"))
    feature = opened.schema["image"]
    assert (feature.dtype, feature.shape, feature.ragged) == ("uint8", (HEIGHT * WIDTH,), False)
    found = {}
    for split in ("train", "validation", "test"):
        blocks = opened.blocks(split)
        column = blocks.read(np.arange(len(blocks.rows)))["image"]
        assert column.dtype == np.uint8  # pyright: ignore[reportAttributeAccessIssue]
        found[split] = {bytes(row) for row in column}  # pyright: ignore[reportGeneralTypeIssues]
    flat = [bytes(row) for row in train.reshape(8, -1)]
    assert found["train"] == set(flat[:6])
    assert found["validation"] == set(flat[6:])
    assert found["test"] == {bytes(row) for row in test.reshape(2, -1)}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "train-labels-idx1-ubyte").unlink(), "there is no .*labels"),
        (lambda folder: write(folder, "train", images(3, 0), [0, 1]), "3 images, .* 2 labels"),
        (lambda folder: write(folder, "train", images(2, 0), [0, 7]), "the label 7, .* 2 classes"),
        (
            lambda folder: (folder / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\3\0\0\0\2"),
            "ends 8 bytes too soon",
        ),
        (
            lambda folder: (folder / "train-images-idx3-ubyte").write_bytes(b"PNG, no IDX"),
            "begins with 504e472c, not 00000803",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, spoil, message):
    write(tmp_path, "train", images(2, 0), [0, 1])
    spoil(tmp_path)
    data = make_data(
        tmp_path / "train-images-idx3-ubyte",
        format=Idx(classes=("a", "b")),
        columns=COLUMNS,
        features=(Pixels("image", size=HEIGHT * WIDTH),),
        examples=RowExamples(),
    )
    with pytest.raises(DataError, match=message):
        dataset.build(data, tmp_path / "w")
    assert no_dataset(tmp_path / "w")


def test_a_truncated_file_of_images_is_no_dataset(tmp_path):
    write(tmp_path, "train", images(4, 0), [0, 1, 0, 1])
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="ends 5 bytes too soon"):
        list(idx.read(str(path), Idx(), ROLES))


PIXELS = Pixels("p", size=3)


@pytest.mark.parametrize(
    "raw",
    [
        pa.array([b"\x00\x7f\xff", None, b"\x40\x80\xc0"]),
        pa.array([[0, 127, 255], None, [64, 128, 192]], pa.list_(pa.int64())),
        pa.array([[0, 127, 255], None, [64, 128, 192]], pa.list_(pa.uint8(), 3)),
    ],
)
def test_bytes_and_lists_are_the_same_pixels(raw):
    values, checks = fit.canonical(raw, PIXELS, "here")
    assert not checks
    assert values.null_count == 1
    fitted, _ = fit.fit(PIXELS, None, "events")
    found = fit.apply(fitted, None, values).to_pylist()
    assert found == [[0, 127, 255], [0, 0, 0], [64, 128, 192]]
    assert fit.apply(fitted, None, values.dictionary_encode()).to_pylist() == found


def test_every_value_of_a_pixel_survives():
    every = np.arange(256, dtype=np.uint8)
    values, _ = fit.canonical(pa.array([every.tobytes()]), Pixels("p", size=256), "here")
    fitted, _ = fit.fit(Pixels("p", size=256), None, "events")
    assert fit.apply(fitted, None, values).to_pylist() == [every.tolist()]


def test_other_sizes_and_numbers_are_rejected():
    raw = pa.array([[1, 2, 3], [1, 2], [1, 2, 256], [-1, 0, 0], []], pa.list_(pa.int32()))
    _, checks = fit.canonical(raw, PIXELS, "here")
    assert {reason: mask.tolist() for reason, mask in checks} == {
        "p has not 3 numbers": [False, True, False, False, True],
        "p has numbers that are not from 0 to 255": [False, False, True, True, False],
    }
    with pytest.raises(DataError, match="here: the column of p holds double; give one that holds"):
        fit.canonical(pa.array([1.5]), PIXELS, "here")
