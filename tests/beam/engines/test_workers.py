"""A worker needs the extra `data` alone: no JAX, no TensorFlow, no Google."""

import pathlib
import subprocess
import sys

import pytest
from etils import epath

from podway.beam.engines.options import Dataflow, Portable
from podway.launch.dataflow import flex_template
from tests.beam.engines.test_run import job_service, running_pool, same_dataset, some_data

assert job_service  # a fixture


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> epath.Path:
    """What goes into the workers' image, of `some_data`."""
    folder = tmp_path_factory.mktemp("template")
    engine = Dataflow(image="example/podway:1")
    return flex_template.write(some_data(folder), folder / "template", engine)


@pytest.fixture(scope="module")
def worker_python(template, tmp_path_factory) -> pathlib.Path:
    """An environment with `podway[data]`, installed from the template."""
    environment = tmp_path_factory.mktemp("worker")
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["--constraint", str(template / "constraints.txt")]
    subprocess.run([python, *install, *constraints, f"{template}/source[data]"], check=True)
    return python


@pytest.mark.slow
def test_workers_with_the_data_extra_alone_make_the_same_dataset(
    tmp_path, job_service, worker_python
):
    code = (
        "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('jax', 'tensorflow')])"
    )
    found = subprocess.run([worker_python, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[False, False]"
    (tmp_path / "elsewhere").mkdir()
    pool = running_pool(tmp_path, python=str(worker_python), cwd=tmp_path / "elsewhere")
    with pool as address:
        same_dataset(some_data(tmp_path), tmp_path, Portable(job_service, "EXTERNAL", address))


@pytest.mark.slow
def test_a_dataset_is_built_with_the_data_extra_alone(tmp_path, template, worker_python):
    """The whole stage, from the data part as JSON."""
    code = (
        "import json, sys\n"
        "from podway.beam import dataset, overview\n"
        "from podway.framework import artifact, codec, config\n"
        "data = codec.from_json(config.Data, json.load(open(sys.argv[1])))\n"
        "print(overview.fingerprint(artifact.read(dataset.build(data, sys.argv[2]), 'dataset')))\n"
    )
    file = str(template / "data.json")
    here, there = (
        subprocess.run(
            [python, "-c", code, file, str(tmp_path / workdir)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for python, folder, workdir in [(sys.executable, None, "w"), (worker_python, tmp_path, "v")]
    )
    assert here == there != ""
