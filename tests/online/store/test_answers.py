"""Lists and vectors that were made beforehand, as the store has them."""

import numpy as np
import pytest

from podway.online.error import StoreError
from podway.online.store import answers, vectors


def test_a_list_comes_back():
    content = answers.pack_list("5f7c-22a0", 1.7e9, [("ü", 1.5), ("b", -0.25)])
    assert answers.unpack_list(content) == answers.Listed(
        "5f7c-22a0", 1.7e9, (("ü", 1.5), ("b", -0.25))
    )


def test_a_vector_comes_back():
    found = vectors.unpack_vector(vectors.pack_vector("mödel", 2.0, np.array([0.1, -3], "f4")))
    assert (found.model, found.created) == ("mödel", 2.0)
    assert found.values.tolist() == np.array([0.1, -3], "f4").tolist()


def test_what_is_no_number_is_not_stored():
    with pytest.raises(StoreError, match="a score of m is not finite"):
        answers.pack_list("m", 0, [("a", float("nan"))])
    with pytest.raises(StoreError, match="a vector of m is not finite"):
        vectors.pack_vector("m", 0, np.array([np.inf]))


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b'{"model": 1, "created": 2, "items": 3}'])
def test_what_is_neither_is_said(content):
    with pytest.raises(StoreError, match="holds no list here"):
        answers.unpack_list(content)
    with pytest.raises(StoreError, match="holds no vector here"):
        vectors.unpack_vector(content)
