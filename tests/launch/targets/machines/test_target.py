import shlex
import subprocess

import pytest

from podway.framework.error import ConfigError
from podway.launch.targets.machines.host import Host
from podway.launch.targets.machines.remote import python
from podway.launch.targets.machines.target import Machines


@pytest.mark.parametrize(
    ("text", "destination", "port"),
    [
        ("gpu1", "gpu1", ""),
        ("me@gpu-1.lab.example", "me@gpu-1.lab.example", ""),
        ("gpu1:2222", "gpu1", "2222"),
        ("me@[fe80::1%eth0]:22", "me@fe80::1%eth0", "22"),
        ("10.0.0.1", "10.0.0.1", ""),
    ],
)
def test_hosts_are_what_ssh_takes(text, destination, port):
    assert Host.parse(text) == Host(text, destination, port)


@pytest.mark.parametrize(
    "text",
    ["", "-oProxyCommand=evil", "a@-b", "a b", "a;b", "a:0", "a:70000", "a:22:33", "fe80::1", "@a"],
)
def test_no_host_is_an_option_or_a_command(text):
    with pytest.raises(ConfigError, match=r"target\.hosts has .*; give HOST"):
        Machines(hosts=(text,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hosts": ("a", "b", "a")}, "names a twice"),
        ({"python": "-c x"}, r"target\.python is"),
        ({"environment": ("A B=1",)}, r"target\.environment has 'A B=1'"),
        ({"environment": ("A",)}, "give NAME=VALUE"),
        ({"ssh_options": ("IdentityFile",)}, r"target\.ssh_options has"),
        ({"coordinator": "a;b"}, r"target\.coordinator is"),
        ({"port": 80}, "from 1024 to 65535"),
        ({"processes_per_host": 0}, r"target\.processes_per_host is 0; give 1 or more"),
        ({"max_restarts": 0}, r"target\.max_restarts is 0"),
        ({"heartbeat": 0.5}, r"target\.heartbeat is 0\.5"),
        ({"distributed": True, "processes_per_host": 2}, "the platform says which processes"),
    ],
)
def test_what_a_target_cannot_be(fields, message):
    with pytest.raises(ConfigError, match=message):
        Machines(**fields)


@pytest.mark.parametrize("path", ["python3", "~/my env/$(touch x)/python", "/opt/it's/python"])
def test_no_part_of_a_path_is_read_by_the_shell(path, tmp_path):
    """The shell passes the path on as one word, in which the home folder alone is filled in."""
    command = python(path).replace("exec ", "printf '<%s>' ", 1)
    for shell in ("sh", "bash"):
        done = subprocess.run([shell, "-c", command], capture_output=True, text=True, cwd=tmp_path)
        home = subprocess.run(
            [shell, "-c", 'printf %s "$HOME"'], capture_output=True, text=True
        ).stdout
        wanted = path.replace("~", home, 1) if path.startswith("~/") else path
        assert done.stdout == f"<{wanted}><->", shlex.quote(command)
    assert not list(tmp_path.iterdir())
