import pytest

from podway.framework.schema import schema
from podway.framework.schema.schema import Feature, Schema, SchemaError, Vocabulary


def test_vocabulary_survives_its_file(tmp_path):
    values = ("a\nb", '"', "\u2028", "日本", " ", "\r")
    written = Vocabulary(("", "", *values), (0, 4, 3, 3, 2, 1, 1, 1))
    written.write(tmp_path / "item.jsonl")
    assert Vocabulary.read(tmp_path / "item.jsonl") == written
    assert [written.id(value) for value in ("a\nb", "\r", "", "never")] == [2, 7, 1, 1]


def test_some_values_are_found_without_the_others(tmp_path, monkeypatch):
    """In files of a few rows, as large vocabularies have them."""
    monkeypatch.setattr(schema, "VOCABULARY_ROWS", 4)
    values = ("", "", *(f"{at}\n" for at in range(2, 11)))
    Vocabulary(values, (1,) * 11).write(tmp_path / "item.jsonl")
    assert (tmp_path / "item.2.jsonl").exists()
    found = schema.values_of(tmp_path / "item.jsonl", [9, 3, 4, 3, 10])
    assert found == {3: "3\n", 4: "4\n", 9: "9\n", 10: "10\n"}
    assert schema.values_of(tmp_path / "item.jsonl", []) == {}


def test_a_broken_vocabulary_names_its_line(tmp_path):
    (tmp_path / "item.jsonl").write_text('["", 0]\n["", 0]\noops\n')
    with pytest.raises(SchemaError, match=r"item\.jsonl, line 3"):
        Vocabulary.read(tmp_path / "item.jsonl")


def test_schema_survives_its_file_and_names_unknown_features(tmp_path):
    schema = Schema((Feature("item", "item", "int32", True, "item", 10, 7),))
    schema.write(tmp_path / "schema.json")
    assert Schema.read(tmp_path / "schema.json") == schema
    with pytest.raises(SchemaError, match="no feature 'genre'"):
        schema["genre"]
