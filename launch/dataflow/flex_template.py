"""A Dataflow Flex Template: the folder that its image is built from, and its spec.

One image serves as launcher and as workers. It holds `podway[data,gcs]`, at the versions that are
installed here: no JAX, no TensorFlow.
"""

import importlib.metadata
import json
import platform
import re
import shutil
import tomllib
from typing import Any

from etils import epath

from podway.beam.engines.options import Dataflow
from podway.framework import artifact, codec
from podway.framework.code import provenance
from podway.framework.config import Data
from podway.framework.error import ConfigError

EXTRAS = ("data", "gcs")
"""What the image installs of podway."""

DOCKERFILE = """\
# Launcher and workers of a Dataflow Flex Template; build with `docker build -t {image} .`
# Of the launcher Google recommends the latest.
# hadolint ignore=DL3006
FROM gcr.io/dataflow-templates-base/python{digits}-template-launcher-base AS launcher
FROM apache/beam_python{python}_sdk:{beam}
COPY --from=launcher /opt/google/dataflow/python_template_launcher \\
  /opt/google/dataflow/python_template_launcher
COPY source /template/source
COPY constraints.txt main.py data.json /template/
RUN pip install --no-cache-dir --root-user-action=ignore -c /template/constraints.txt \\
  "/template/source[{extras}]" && pip check
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/main.py
"""

MAIN = """\
from podway.launch.dataflow import launcher

launcher.main()
"""


def write(data: Data, folder: epath.PathLike, engine: Dataflow) -> epath.Path:
    """Writes Dockerfile, sources, data.json, metadata.json and the spec template.json.

    Raises:
      ConfigError: the folder has other content, the image has no name, or podway was not installed
        from a checkout.
    """
    folder, root = epath.Path(folder), epath.Path(provenance.ROOT)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"--flex-template {folder} is not empty; give a new folder")
    if not engine.image:
        raise ConfigError("--image is missing; name the image that you will build and push")
    if not (root / "pyproject.toml").exists():
        raise ConfigError(f"--flex-template needs podway's sources, and {root} is no checkout")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _copy_sources(root, folder / "source")
        python = ".".join(platform.python_version_tuple()[:2])
        files = {
            "Dockerfile": DOCKERFILE.format(
                image=engine.image,
                digits=python.replace(".", ""),
                python=python,
                beam=importlib.metadata.version("apache-beam"),
                extras=",".join(EXTRAS),
            ),
            "constraints.txt": _constraints(),
            "main.py": MAIN,
            "data.json": _json(codec.to_json(data)),
            "metadata.json": _json(metadata(data)),
            "template.json": _json(spec(data, engine)),
        }
        for name, text in files.items():
            artifact.write_atomically(folder / name, text)
    except BaseException:
        folder.rmtree()
        raise
    return folder


def metadata(data: Data) -> dict[str, Any]:
    """The template's name, and its parameters with their types and checks."""
    storage = "^gs://[^/]+/.+$"
    return {
        "name": f"podway data stage: {data.name}",
        "description": "Raw events to a training dataset, committed when it is whole.",
        "streaming": False,
        "parameters": [
            {
                "name": "data",
                "label": "Data part",
                "helpText": "JSON of the experiment's data part; /template/data.json is built in.",
                "paramType": "TEXT",
                "regexes": ["^(gs://[^/]+)?/.+[.]json$"],
                "defaultValue": "/template/data.json",
                "isOptional": False,
            },
            {
                "name": "workdir",
                "label": "Workdir",
                "helpText": "Folder of datasets/, e.g. gs://BUCKET/podway.",
                "paramType": "GCS_WRITE_FOLDER",
                "regexes": [storage],
                "isOptional": False,
            },
            {
                "name": "input",
                "label": "Raw files",
                "helpText": f"File or glob of raw events, instead of {data.path}.",
                "paramType": "TEXT",
                "regexes": [storage],
                "isOptional": True,
            },
        ],
    }


def spec(data: Data, engine: Dataflow) -> dict[str, Any]:
    """The spec that Dataflow reads from gs://: image, metadata and defaults of its machines."""
    environment: dict[str, Any] = {
        "sdkContainerImage": engine.image,
        "machineType": engine.machine_type,
        "maxWorkers": engine.max_workers,
        "diskSizeGb": engine.disk_gb,
    }
    given = {
        "tempLocation": engine.temp_location,
        "serviceAccountEmail": engine.service_account,
        "subnetwork": engine.subnetwork,
        "ipConfiguration": "" if engine.public_ips else "WORKER_IP_PRIVATE",
    }
    environment |= {name: value for name, value in given.items() if value}
    return {
        "image": engine.image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": metadata(data),
        "defaultEnvironment": environment,
    }


def _copy_sources(root: epath.Path, folder: epath.Path) -> None:
    """What pip needs to build podway."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    folder.mkdir()
    for name in ("pyproject.toml", project["project"]["readme"], "LICENSE"):
        shutil.copy(root / name, folder / name)
    built = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(root / "src", folder / "src", ignore=built)  # files in place of links


def _constraints() -> str:
    """The versions of the extras' packages that are installed here."""
    wanted = set()
    for requirement in importlib.metadata.requires("podway") or ():
        extra = re.search(r"extra == [\"']([\w-]+)[\"']", requirement)
        if extra is None or extra[1] in EXTRAS:
            wanted.add(re.split(r"[^A-Za-z0-9._-]", requirement)[0])
    return "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in sorted(wanted))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
