import copy
import dataclasses

import pytest

from podway.framework.error import ConfigError
from podway.launch.targets.cloud_run import check, job
from podway.launch.targets.cloud_run.target import CloudRunJob
from tests.launch.targets import closed
from tests.launch.targets.cloud_run.test_cloud import a_job


@pytest.mark.parametrize("verb", ["run", "predict"])
def test_jobs_are_as_googles_schema_says_and_no_check_has_a_word(verb):
    wanted = dataclasses.replace(a_job(), verb=verb)
    assert not wanted.problems()
    assert closed.google_errors("run.v1", "Job", job.job(wanted)) == []
    assert check.problems(job.job(wanted)) == []


def test_lists_are_written_where_the_next_ones_take_their_place():
    made = job.job(dataclasses.replace(a_job(), verb="predict"))
    spec = made["spec"]["template"]["spec"]["template"]["spec"]
    args = spec["containers"][0]["args"]
    assert args[:2] == ["predict", "movielens_sasrec"]
    assert "/podway/bucket/w/predictions/movielens_sasrec.parquet" in args
    assert spec["volumes"][0]["csi"]["readOnly"] is False


def test_the_same_config_is_the_same_job():
    assert a_job().name == a_job(hours=1).name
    assert dataclasses.replace(a_job(), workdir="gs://bucket/x").name != a_job().name


def test_what_must_be_mended_first():
    wanted = dataclasses.replace(a_job(), target=CloudRunJob(), workdir="w")
    data = dataclasses.replace(wanted.experiment.data, path="events.csv", format=closed_format())
    wanted = dataclasses.replace(
        wanted, experiment=dataclasses.replace(wanted.experiment, data=data)
    )
    said = " ".join(wanted.problems())
    for part in ("target.project", "target.image", "gs://BUCKET/FOLDER", "'events.csv'"):
        assert part in said


def closed_format():
    from podway.framework.config import Csv

    return Csv()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cpu": 5}, "cores"),
        ({"memory": "64Gi"}, "give 4Gi to 32Gi"),
        ({"hours": 25}, r"target\.hours"),
        ({"retries": 11}, r"target\.retries"),
    ],
)
def test_fields_that_cannot_be(fields, message):
    with pytest.raises(ConfigError, match=message):
        CloudRunJob(**fields)


@pytest.mark.parametrize(
    ("said", "broken"),
    [
        ("not named by its digest", {"image": "podway:1"}),
        (
            "there is no limit",
            {"resources": {"limits": {"cpu": "8", "memory": "32Gi", "gpu": "1"}}},
        ),
        ("give 4Gi to 32Gi", {"resources": {"limits": {"cpu": "8", "memory": "2Gi"}}}),
    ],
)
def test_each_check_catches_its_error(said, broken):
    made = copy.deepcopy(job.job(a_job()))
    made["spec"]["template"]["spec"]["template"]["spec"]["containers"][0].update(broken)
    assert any(said in problem for problem in check.problems(made))
