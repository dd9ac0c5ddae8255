"""Large JSON is read as small JSON is, in short steps."""

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from podway.export.server.api import large_json, rest_json
from podway.export.server.api.aside import unchecked
from podway.export.server.error import CANCELLED, RequestError
from podway.export.server.limits import Limits

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text('[]{}",:\\ aé\u2028')
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text('[]{}",:\\ a'), inner)
)


def read(text: str):
    """The value, or where and why it is none."""
    return large_json.loads(text.encode("utf-8", "surrogatepass"), unchecked)


@pytest.fixture(autouse=True)
def short_steps(monkeypatch):
    """Nothing is read in one go that has more than a few characters."""
    monkeypatch.setattr(large_json, "_SHORT", 12)


@hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_what_json_reads_is_read_alike(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert repr(read(text)) == repr(json.loads(text))


@hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(VALUES, st.integers(0), st.text('[]{}",:\\ a1-.eEtfn', max_size=3))
def test_what_json_refuses_is_refused(value, where, put):
    text = json.dumps(value)
    where %= len(text)
    text = text[:where] + put + text[where + 1 :]
    try:
        expected = repr(json.loads(text))
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            read(text)
    else:
        assert repr(read(text)) == expected


@pytest.mark.parametrize(
    ("text", "said", "at"),
    [
        ("[1, 2, 3, 4, 5, x]", "Expecting value", 16),
        ("[[1, 2, 3], [4, 5 6]]", "Expecting ',' delimiter", 18),
        ('{"aaaaaaaaaaaaaa": 1, b: 2}', "property name", 22),
        ('{"aaaaaaaaaaaaaa" 1}', "':' delimiter", 18),
        ("[1, 2, 3, 4, 5, 6] 7", "Extra data", 19),
        ("[1, 2, 3, 4, 5, 6", "Expecting ',' delimiter", 17),
        ("[1, 2, 3, 4, 5,, 6]", "Expecting value", 15),
        ("[1, 2, 3, 4, 5, , 6]", "Expecting value", 16),
        ("[, 1, 2, 3, 4, 5, 6]", "Expecting value", 1),
    ],
)
def test_an_error_says_where(text, said, at):
    with pytest.raises(json.JSONDecodeError, match=said) as raised:
        read(text)
    assert raised.value.pos == at


def test_what_is_nested_too_deeply_is_refused():
    with pytest.raises(RecursionError, match="200 deep"):
        read("[" * 5000 + "]" * 5000)


def test_reading_ends_when_nobody_waits():
    asked = []

    def waits():
        asked.append(1)
        raise RequestError(CANCELLED, "nobody")

    with pytest.raises(RequestError, match="nobody"):
        large_json.loads(b"[" + b'"a",' * 100_000 + b"0]", waits)
    assert asked == [1]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("[1, 2, 3]", 4),
        ('{"a": [1, 2], "b": "x"}', 7),
        ("[[1, 2], [3, 4]]", 7),
        ('"a, b: [c, {d"', 1),
        (r'["\",,,\\", 1]', 3),
    ],
)
def test_values_and_keys_are_counted_and_not_what_is_in_strings(text, count):
    assert rest_json.count(text.encode(), count) == count


def test_a_string_without_an_end_is_looked_at_once():
    body = b'"' + b'\\"' * 2_000_000 + b"," * 2000
    assert rest_json.count(body, 1000) <= 1000


def test_too_many_values_are_refused_by_the_flags_name():
    limits = Limits(elements=1000)
    body = b'{"instances": [' + b"1," * 2000 + b"1]}"
    with pytest.raises(RequestError, match=r"more than 1000 values \(--max_request_elements\)"):
        rest_json.load(body, limits)
    text = json.dumps({"instances": [", " * 5000]}).encode()
    assert rest_json.load(text, limits) == json.loads(text)
