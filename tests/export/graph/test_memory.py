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
    saved = table["f32"] - table["int8"]
    # All that is beside the table is the same for both.
    assert grown["f32"]["after"] - grown["int8"]["after"] > 0.9 * saved, grown
    # A table that is widened for a moment only would show here.
    assert grown["int8"]["highest"] < table["f32"], grown
