import pytest

from framework.schema import Feature, Schema, SchemaError, Vocabulary


def test_vocabulary_orders_by_count_then_bytes_and_caps():
    counted = [("b", 2), ("é", 2), ("z", 5), ("a", 2)]
    full = Vocabulary.build(counted)
    assert full.values == ("", "", "z", "a", "b", "é")
    assert full.counts == (0, 0, 5, 2, 2, 2)
    capped = Vocabulary.build(counted, max_values=2)
    assert capped.values == ("", "", "z", "a")
    assert capped.counts == (0, 4, 5, 2)
    assert [capped.id(value) for value in ("z", "a", "b", "", "never")] == [2, 3, 1, 1, 1]


def test_vocabulary_survives_its_file(tmp_path):
    values = [("a\nb", 3), ('"', 3), ("\u2028", 2), ("日本", 1), (" ", 1)]
    written = Vocabulary.build(values)
    written.write(tmp_path / "item.jsonl")
    assert Vocabulary.read(tmp_path / "item.jsonl") == written


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
