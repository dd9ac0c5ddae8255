import json

import numpy as np
import pytest

from podway.export.server.error import FAILED_PRECONDITION, RequestError, ServerError
from podway.export.server.runtime import servable


def test_signatures_are_those_that_can_be_run(library):
    loaded = servable.load(library[1])
    assert sorted(loaded.signatures) == ["serving_default", "slow", "two"]
    assert [loaded.signature(name).batched for name in ("", "slow", "two")] == [True, False, True]
    assert list(loaded.signature("two").inputs) == ["a", "b"]
    item, score = loaded.signature("").run([np.array([[b"a", b"b"]], object)])
    assert item.tolist() == [[b"a", b"v1"]]
    assert score.dtype == np.float32
    with pytest.raises(RequestError, match='"x" not found') as raised:
        loaded.signature("x")
    assert raised.value.code == FAILED_PRECONDITION
    loaded.close()


def test_the_exporters_manifest_says_what_may_be_padded(site):
    manifest = site.put(1) / "assets.extra" / "export.json"
    manifest.parent.mkdir()
    padding = {"serving_default": {"history": ""}, "two": {"b": 0}}
    manifest.write_text(json.dumps({"details": {"padding": padding}}))
    loaded = servable.load(manifest.parent.parent)
    assert loaded.signature("").padding == {"history": b""}
    assert loaded.signature("two").padding == {"b": 0}
    assert loaded.signature("slow").padding == {}
    loaded.close()


def test_a_folder_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(ServerError, match="is no SavedModel that loads") as raised:
        servable.load(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)
