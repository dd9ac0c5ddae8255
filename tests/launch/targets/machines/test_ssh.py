"""The system's ssh, against servers of this machine."""

import dataclasses
import pathlib

import pytest

from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import check, ssh
from podway.launch.targets.machines.host import Host
from podway.launch.targets.machines.remote import Remote, connected
from podway.launch.targets.machines.ssh import UnreachableError
from tests.launch.targets.machines import hosts
from tests.launch.targets.machines.conftest import a_launch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def machines(folder):
    with hosts.machines(folder, 2) as found:
        yield found


def target(folder, machines, **changes):
    return hosts.target(
        *(each.host for each in machines), ssh_options=hosts.options(folder), **changes
    )


def ask(remote: Remote, at: int, do: str = "look", **arguments):
    given = arguments or {"folder": "~/x"}
    return remote.ask(Host.parse(remote.target.hosts[at]), do, **given)


def test_hosts_are_asked_over_one_connection_each_which_ends(folder, machines):
    with connected(target(folder, machines)) as remote:
        for machine in range(2):
            said = ask(remote, machine, "shell", command="echo $HOME", environment={})
            assert said == {"code": 0, "said": f"{machines[machine].home}\n"}
        control = pathlib.Path(remote.ssh.control)
        assert len(list(control.iterdir())) == 2
        assert remote.ssh.address(Host.parse(machines[0].host)) == "127.0.0.1"
    assert not control.exists()


def test_what_the_agent_is_told_no_shell_reads(folder, machines):
    with connected(target(folder, machines)) as remote:
        text = "'; touch bad; $(touch bad) \\ \" ' é\n"
        said = ask(remote, 0, "shell", command='printf %s "$TEXT"', environment={"TEXT": text})
    assert said["said"] == text
    assert not (machines[0].home / "bad").exists()


def test_noise_of_a_shells_own_files_is_no_answer(folder, machines):
    (machines[0].home / ".bashrc").write_text("echo welcome; printf 'podway answers? no'\n")
    with connected(target(folder, machines)) as remote:
        assert ask(remote, 0)["state"] is None
    (machines[0].home / ".bashrc").unlink()


def test_a_python_that_is_not_there(folder, machines):
    with (
        connected(target(folder, machines, python="/no/python")) as remote,
        pytest.raises(
            LaunchError, match=r"/no/python.*target\.python is '/no/python'; give|: give"
        ),
    ):
        ask(remote, 0)


def test_a_python_that_is_none(folder, machines):
    with (
        connected(target(folder, machines, python="/bin/true")) as remote,
        pytest.raises(LaunchError, match="'/bin/true' answers as no Python does"),
    ):
        ask(remote, 0)


def test_a_key_that_the_host_does_not_know(folder, machines, tmp_path):
    options = (
        "IdentityFile=/dev/null",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        f"UserKnownHostsFile={folder}/known_hosts",
    )
    reached = ssh.Ssh((*options, "StrictHostKeyChecking=accept-new"))
    with pytest.raises(UnreachableError, match=r"Permission denied.*log in once by `ssh -p \d+ "):
        reached.run(Host.parse(machines[0].host), "true", "")


def test_a_host_whose_key_nobody_has_seen(folder, machines, tmp_path):
    reached = ssh.Ssh((f"UserKnownHostsFile={tmp_path}/none", "StrictHostKeyChecking=yes"))
    with pytest.raises(UnreachableError, match=r"Host key verification failed.*connect once"):
        reached.run(Host.parse(machines[0].host), "true", "")


def test_a_host_that_is_off(folder):
    host = f"127.0.0.1:{hosts.free_port()}"
    with pytest.raises(UnreachableError, match=f"{host}: .*Connection refused.*no ssh server"):
        ssh.Ssh().run(Host.parse(host), "true", "")


def test_a_name_that_nobody_knows():
    with pytest.raises(UnreachableError, match=r"nowhere\.invalid: .*no host of that name"):
        ssh.Ssh().run(Host.parse("nowhere.invalid"), "true", "")


def test_a_host_that_takes_too_long(folder, machines):
    reached = ssh.Ssh(hosts.options(folder))
    with pytest.raises(UnreachableError, match="no answer within 1 s"):
        reached.run(Host.parse(machines[0].host), "sleep 5", "", timeout=1)


def meeting(folder, machines, workdir: str, **changes) -> list[str]:
    launch = dataclasses.replace(
        a_launch(workdir=workdir), target=target(folder, machines, **changes)
    )
    with connected(launch.target) as remote:
        return check.meeting(launch, remote, launch.processes, "127.0.0.1")


@pytest.mark.parametrize("new", [True, False])
def test_hosts_that_share_a_folder_and_reach_the_port_can_meet(folder, machines, tmp_path, new):
    workdir = tmp_path / "w" if new else tmp_path
    assert meeting(folder, machines, str(workdir)) == []
    assert not list(tmp_path.iterdir())


def test_hosts_that_share_no_folder(folder, machines, tmp_path, monkeypatch):
    """One path, which is another folder on each host."""
    monkeypatch.setattr(check, "VISIBLE", 0.5)
    ask = Remote.ask

    def on_its_own_disk(self, host, do, **arguments):
        (tmp_path / str(host)).mkdir(exist_ok=True)
        if "workdir" in arguments:
            arguments["workdir"] = str(tmp_path / str(host))
        return ask(self, host, do, **arguments)

    monkeypatch.setattr(Remote, "ask", on_its_own_disk)
    (found,) = meeting(folder, machines, "/scratch/w")
    assert found.startswith(f"{machines[1].host}: it does not see what {machines[0].host} writes")


def test_a_port_that_is_taken(folder, machines, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "VISIBLE", 0.5)
    (found,) = meeting(folder, machines, str(tmp_path), port=machines[0].port)
    assert f"port {machines[0].port} cannot be used (Address already in use)" in found
