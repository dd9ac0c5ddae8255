"""`podway advise` on a small shop: simple models are fitted, others measured as they are."""

import json

from podway.launch.verbs.search import advise
from tests.launch import world


def test_candidates_are_measured_and_simple_ones_are_evaluated(shop, folder, capsys):
    experiment, workdir = world.shop(folder), str(folder / "w")
    advise.advise(advise.Advise(experiment=experiment, workdir=workdir, latency="1s", json=True))
    found = json.loads(capsys.readouterr().out)
    by_name = {each["name"]: each for each in found["candidates"]}
    simple = ("Popularity", "ItemKnn", "SequenceKnn", "Ease")
    assert all(by_name[name]["value"] is not None for name in simple)
    own = by_name["SasRec 8"]
    assert own["run"] == str(shop.run)
    assert own["value"] is not None
    assert by_name["SasRec 16"]["value"] is None
    assert (
        by_name["SasRec 8 int4"]["weights_bytes"]
        < by_name["SasRec 8 int8"]["weights_bytes"]
        < own["weights_bytes"]
    )
    assert all(each["latency_ms"] > 0 and each["fits"] for each in found["candidates"])
    assert found["take"] in by_name
    assert by_name[found["best"]]["value"] == max(each["value"] or 0 for each in by_name.values())
