"""A table in few bytes stays so in the memory of who serves it."""

import pytest

from benchmarks.compress import formats


@pytest.mark.slow
def test_a_quantised_table_of_a_million_rows_is_not_widened_in_the_server(tmp_path):
    """A process that loads the SavedModel and answers, beside one with the table in f32."""
    items, grown, table = 1_000_000, {}, {}
    for name in ("f32", "int8"):
        table[name] = formats.write(tmp_path / name, name, items)
        grown[name] = formats.measure(tmp_path / name)
    assert table["f32"] >= 4 * 64 * items
    assert table["int8"] < table["f32"] / 3.7
    for key in ("after", "highest"):
        assert grown["f32"][key] > 0.9 * table["f32"], grown
    # With the scores of a million items, and what the program itself takes.
    assert grown["int8"]["after"] < table["int8"] + 64e6, grown
    # Reading the file may hold a part of it twice, but never the table in f32 beside the stored.
    assert grown["int8"]["highest"] < table["f32"], grown
