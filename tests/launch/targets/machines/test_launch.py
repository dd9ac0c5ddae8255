import dataclasses

import pytest

from podway.framework.config import SideTable
from podway.framework.error import ConfigError
from podway.launch.targets.machines import plan
from podway.launch.targets.machines.launch import Launch
from podway.launch.targets.machines.target import Machines
from tests.launch.targets.machines.conftest import a_launch


def options(launch: Launch, number: int, stage: str = "train") -> dict[str, str]:
    """Of a stage of a process: option → value."""
    process = launch.processes[number]
    (found,) = [each for each in launch.stages(process, "host0") if each.name == stage]
    words = " ".join(found.arguments).split("--")[1:]
    return {word.split()[0]: word.partition(" ")[2].strip() for word in words}


def test_each_host_runs_one_process_and_the_first_does_the_rest():
    launch = a_launch("a", "b", "c")
    names = [[each.name for each in launch.stages(p, "host0")] for p in launch.processes]
    assert names == [["data", "train", "export"], ["wait", "train"], ["wait", "train"]]
    given = options(launch, 2)
    assert given["coordinator"] == "host0:6002"
    assert (given["num-processes"], given["process-id"]) == ("3", "2")
    assert "restart-on-failure" in given
    assert given["workdir"] == "/shared/w"


def test_processes_of_a_host_have_numbers_in_a_row_and_gpus_of_their_own():
    launch = a_launch("a", "b", processes_per_host=2, gpus_per_process=2)
    assert [str(each.host) for each in launch.processes] == ["a", "a", "b", "b"]
    gpus = [
        next(s for s in launch.stages(p, "x") if s.name == "train").environment
        for p in launch.processes
    ]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in gpus] == ["0,1", "2,3", "0,1", "2,3"]


def test_one_process_meets_nobody():
    given = options(a_launch("a"), 0)
    assert not {"coordinator", "num-processes", "process-id"} & set(given)


def test_a_slice_of_tpus_knows_its_processes_and_exports_on_the_cpu():
    launch = a_launch("a", "b", distributed=True)
    assert "distributed" in options(launch, 1)
    assert "coordinator" not in options(launch, 1)
    export = launch.stages(launch.processes[0], "x")[-1]
    assert export.environment == {"JAX_PLATFORMS": "cpu"}


def test_an_address_of_ipv6():
    launch = a_launch()
    stage = launch.stages(launch.processes[1], "fe80::1")[-1]
    assert "[fe80::1]:6002" in stage.arguments


def test_the_same_experiment_on_the_same_workdir_is_the_same_launch():
    launch = a_launch()
    assert launch.name == a_launch("c").name
    assert launch.name.startswith("movielens-sasrec-")
    assert launch.name != a_launch(workdir="/shared/other").name


def test_what_the_hosts_would_not_find():
    launch = a_launch(workdir="w")
    table = SideTable("item", "items.csv", "id", (), keep=("title",))
    data = dataclasses.replace(launch.experiment.data, tables=(table,))
    experiment = dataclasses.replace(launch.experiment, data=data)
    found = dataclasses.replace(launch, experiment=experiment).problems()
    assert [each.partition(";")[0] for each in found] == [
        "--workdir is 'w'",
        f"the data {data.name!r} are read from 'items.csv'",
    ]
    assert not a_launch(workdir="gs://bucket/w").problems()


def test_a_launch_needs_hosts():
    launch = a_launch()
    with pytest.raises(ConfigError, match=r"target\.hosts is empty; give --target\.hosts"):
        dataclasses.replace(launch, target=Machines())


def test_the_commands_of_a_dry_run_can_be_typed():
    launch = a_launch("me@a", "b:2222", environment=("A=x y",), python="~/my env/bin/python")
    text = plan.commands(launch, "a")
    assert "-- me@a" in text
    assert "-p 2222 -- b" in text
    assert "export A='x y'" in text
    assert "~/'my env/bin/python' -m podway.launch.cli train experiment/experiment.json" in text
    assert text.count("# waits until process 0 has built the dataset") == 1
