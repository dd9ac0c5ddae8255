"""A version's life on files, walked through: docs/serving_versions.md has the same table."""

import shutil

import pytest

from tests.export.server.conftest import Client, Site, predict_request, running

BODY = {"instances": [["a"]]}


class Walk:
    """A server that follows a base path, and what is done there."""

    def __init__(self, site: Site, client: Client):
        self.site, self.client = site, client
        self.base = site.root / "m"

    def upload(self, version: int, source: int, *, folder: str = "") -> None:
        """As publishers do: all files, and saved_model.pb last."""
        target = self.base / (folder or str(version))
        shutil.copytree(self.site.library[source], target, ignore=lambda *_: ["saved_model.pb"])
        shutil.copy(self.site.library[source] / "saved_model.pb", target / "saved_model.pb")

    def becomes(self, states: dict[int, str], answer: str | None) -> None:
        """The states that the server reaches and keeps, and whose answer a request gets."""
        self.client.wait_for(lambda: self.client.states() == states)
        self.stays(states, answer)

    def stays(self, states: dict[int, str], answer: str | None) -> None:
        for _ in range(5):
            assert self.client.states() == states
            assert self.answer() == answer

    def answer(self) -> str | None:
        status, answer = self.client.rest("/v1/models/m:predict", BODY)
        return answer["predictions"][0]["item"][1] if status == 200 else None


@pytest.fixture
def walk(site):
    site.ask_for("latest {}")
    with running(site) as client:
        yield Walk(site, client)


def test_a_folder_without_versions_and_the_first_one(walk):
    assert walk.client.states() == {}
    assert walk.client.rest("/v1/models/m:predict", BODY)[0] == 404
    walk.upload(1, 1)
    walk.becomes({1: "AVAILABLE"}, "v1")


def test_half_uploaded_then_whole(walk):
    walk.upload(1, 1)
    walk.becomes({1: "AVAILABLE"}, "v1")
    shutil.copytree(walk.site.library[2], walk.base / "2", ignore=lambda *_: ["saved_model.pb"])
    walk.stays({1: "AVAILABLE"}, "v1")
    shutil.copy(walk.site.library[2] / "saved_model.pb", walk.base / "2")
    walk.becomes({1: "END", 2: "AVAILABLE"}, "v2")


def test_uploaded_under_another_name_and_renamed(walk):
    walk.upload(1, 1)
    walk.becomes({1: "AVAILABLE"}, "v1")
    walk.upload(2, 2, folder="_staging-2-ab12cd34")
    walk.stays({1: "AVAILABLE"}, "v1")
    (walk.base / "_staging-2-ab12cd34").rename(walk.base / "2")
    walk.becomes({1: "END", 2: "AVAILABLE"}, "v2")


def test_failed_and_replaced_by_the_next(walk):
    walk.upload(1, 1)
    walk.becomes({1: "AVAILABLE"}, "v1")
    (walk.base / "2").mkdir()
    (walk.base / "2" / "saved_model.pb").write_text("no graph")
    walk.becomes({1: "AVAILABLE", 2: "END"}, "v1")
    walk.upload(3, 3)
    walk.becomes({1: "END", 2: "END", 3: "AVAILABLE"}, "v3")


def test_failed_and_removed(walk):
    walk.upload(1, 1)
    walk.becomes({1: "AVAILABLE"}, "v1")
    (walk.base / "2").mkdir()
    (walk.base / "2" / "saved_model.pb").write_text("no graph")
    walk.becomes({1: "AVAILABLE", 2: "END"}, "v1")
    shutil.rmtree(walk.base / "2")
    walk.stays({1: "AVAILABLE", 2: "END"}, "v1")


def test_failed_for_good_and_repaired_in_place(walk):
    """The number was given up; removed and laid there anew it is a new one."""
    (walk.base / "1").mkdir()
    (walk.base / "1" / "saved_model.pb").write_text("no graph")
    walk.becomes({1: "END"}, None)
    shutil.rmtree(walk.base / "1")
    looked_at(walk)
    walk.upload(1, 1)
    walk.client.wait_for(lambda: walk.answer() == "v1")


def looked_at(walk: Walk) -> None:
    """Returns when the server has seen the folder as it is now."""
    marker = walk.base / "0"
    marker.mkdir()
    (marker / "saved_model.pb").write_text("no graph")
    walk.client.wait_for(lambda: 0 in walk.client.states())
    shutil.rmtree(marker)


def test_replaced_in_place_while_it_serves(walk):
    """What is in memory goes on: a number stands for one model, for ever."""
    walk.upload(1, 1)
    walk.becomes({1: "AVAILABLE"}, "v1")
    (walk.base / "1").rename(walk.base / "old")
    (walk.site.root / "new").mkdir()
    shutil.copytree(walk.site.library[2], walk.site.root / "new" / "1")
    (walk.site.root / "new" / "1").rename(walk.base / "1")
    walk.stays({1: "AVAILABLE"}, "v1")


def test_the_newest_removed_and_the_one_before_serves_again(walk):
    walk.upload(1, 1)
    walk.becomes({1: "AVAILABLE"}, "v1")
    walk.upload(2, 2)
    walk.becomes({1: "END", 2: "AVAILABLE"}, "v2")
    shutil.rmtree(walk.base / "2")
    walk.becomes({1: "AVAILABLE", 2: "END"}, "v1")


def test_all_removed_and_the_last_one_stays(walk):
    walk.upload(1, 1)
    walk.becomes({1: "AVAILABLE"}, "v1")
    walk.base.rename(walk.site.root / "gone")
    walk.stays({1: "AVAILABLE"}, "v1")
    walk.base.mkdir()
    walk.stays({1: "AVAILABLE"}, "v1")
    walk.upload(2, 2)
    walk.becomes({1: "END", 2: "AVAILABLE"}, "v2")


def test_a_base_path_that_cannot_be_read_holds_up_no_other_model(walk, caplog):
    walk.upload(1, 1)
    walk.becomes({1: "AVAILABLE"}, "v1")
    other = walk.site.root / "other"
    other.write_text("no folder")
    entry = 'config {{ name: "{0}" base_path: "{1}/{0}" model_platform: "tensorflow" }}'
    both = " ".join(entry.format(name, walk.site.root) for name in ("m", "other"))
    walk.site.config.write_text(f"model_config_list {{ {both} }}")
    walk.client.wait_for(lambda: "other: base_path cannot be read" in caplog.text)
    walk.upload(2, 2)
    walk.becomes({1: "END", 2: "AVAILABLE"}, "v2")
    other.unlink()
    shutil.copytree(walk.site.library[3], other / "3")
    walk.client.wait_for(lambda: walk.client.rest("/v1/models/other:predict", BODY)[0] == 200)


def test_odd_names_beside_it(walk):
    for name in ("1.tmp", "v2", "-3", "+4", "٥", "latest", ".6", "1e9", str(1 << 63)):
        shutil.copytree(walk.site.library[3], walk.base / name)
    (walk.base / "7").write_text("a file")
    (walk.base / "8").symlink_to(walk.base / "nowhere")
    (walk.base / "9").mkdir()
    walk.upload(1, 1, folder="0001")
    walk.becomes({1: "AVAILABLE"}, "v1")
    (walk.base / "10").symlink_to(walk.site.library[2])
    walk.becomes({1: "END", 10: "AVAILABLE"}, "v2")
    response = walk.client.prediction.Predict(predict_request(history=[["a"]]))
    assert response.model_spec.version.value == 10


def test_zeros_in_front_are_taken_off_in_every_answer(walk):
    walk.upload(7, 1, folder="00000007")
    walk.becomes({7: "AVAILABLE"}, "v1")
    status, answer = walk.client.rest("/v1/models/m/versions/7/metadata")
    assert (status, answer["model_spec"]["version"]) == (200, "7")
    assert walk.client.rest("/v1/models/m/versions/00000007:predict", BODY)[0] == 200
    walk.upload(8, 2, folder="00000008")
    walk.becomes({7: "END", 8: "AVAILABLE"}, "v2")
    walk.site.ask_for_versions(7, 8)
    walk.client.wait_for(lambda: walk.client.states() == {7: "AVAILABLE", 8: "AVAILABLE"})
