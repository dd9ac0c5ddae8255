import dataclasses
import importlib.metadata
import json
import pathlib
import sys
from types import SimpleNamespace

import pytest
from etils import epath

from podway.framework.config import Model, RowExamples
from podway.framework.preflight import report as reports
from podway.framework.preflight.report import collective_rows
from podway.launch import experiments, stages
from podway.launch.verbs import preflight as verb
from tests.launch.test_cli import in_process_of_its_own as podway

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "collectives"
PODS = ("v5e:4x4", "v5p:2x2x2")
"""One of a torus of two dimensions for all, one of three for one config of each family."""


TOO_LARGE = ("decoder_8b",)
"""Configs that do not fit PODS; the smaller ones of their family stand for them."""


def trained() -> list[str]:
    """The configs that have a model to train, of those that fit and whose dataset is declared."""
    found = {name: experiments.load(name) for name in experiments.names() if name not in TOO_LARGE}
    return [
        name
        for name, each in found.items()
        if type(each.model) is not Model
        and not isinstance(each.data.examples, RowExamples)
        and not stages.is_fitted(each)
    ]


def versions() -> str:
    """The compiler, whose choice the collectives are."""
    return ", ".join(f"{each} {importlib.metadata.version(each)}" for each in ("jax", "libtpu"))


def lines(name: str, pod: str) -> list[str]:
    """The collectives of a config's training step, sharded both ways, on declared sizes."""
    from podway.framework import config
    from podway.framework.devices import topology
    from podway.framework.preflight.compile import declared, examine

    experiment = experiments.load(name)
    tables = experiment.data.tables
    schema = declared(items=100_000, users=10_000, history=200, tables=tables)
    report = examine(
        dataclasses.replace(experiment, mesh=config.Mesh(fsdp=4)),
        schema,
        topology.parse(pod),
        evaluation=False,
    )
    return collective_rows(report.train.collectives)


QUICK = ("characters_decoder", "completejourney_sasrec")
"""One with layers in a loop, one with a sparse table: both compile in seconds."""
FAMILIES = (
    *QUICK,
    "movielens1m_hstu",
    "movielens_sasrec",
    "movielens_two_tower",
)
"""Of each family one; the others are built of the same parts."""


def cases() -> list[tuple[str, str]]:
    """(config, pod), as PODS says."""
    return [(name, pod) for pod in PODS for name in trained() if name in FAMILIES or pod == PODS[0]]


def marked() -> list:
    """The cases; on one pod QUICK is quick, FAMILIES are slow, and the rest is extensive."""

    def mark(name: str, pod: str) -> list[pytest.MarkDecorator]:
        if pod == PODS[0] and name in QUICK:
            return []
        return [pytest.mark.slow if pod == PODS[0] and name in FAMILIES else pytest.mark.extensive]

    return [pytest.param(name, pod, marks=mark(name, pod)) for name, pod in cases()]


@pytest.mark.parametrize(("name", "pod"), marked())
def test_each_config_sends_what_its_golden_file_says(name, pod):
    compiler, *golden = (GOLDEN / f"{name}.{pod.replace(':', '-')}.txt").read_text().splitlines()
    if compiler != versions():
        pytest.skip(f"the golden file is of {compiler}; here is {versions()}")
    assert lines(name, pod) == golden, "make golden, and review"


def test_a_report_for_people_one_for_machines_and_the_exit_code():
    arguments = [
        "preflight",
        "movielens_sasrec",
        "--topology=v5e:1x1",
        "--items=50000000",
        "--model.width=128",
        "--model.blocks=1",
        "--skip-evaluation",
    ]
    done = podway(*arguments)
    assert done.returncode == 1, done.stderr
    assert "DOES NOT FIT: movielens_sasrec on v5e:1x1" in done.stdout
    assert "the state alone is too large" in done.stdout
    assert "Traceback" not in done.stderr
    small = [arguments[1], "--topology=cpu:2", "--items=500", "--history=20", "--json"]
    done = podway("preflight", *small, "--model.blocks=1", "--price-per-chip-hour=3")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["fits"] is True
    assert report["mesh"] == {"slice": 1, "data": 2, "fsdp": 1, "tensor": 1}
    assert any("all-reduce along data (ici)" in line for line in report["train"]["collectives"])
    assert report["cost_per_million"] > 0


def test_what_a_user_can_mend_is_one_sentence():
    done = podway("preflight", "movielens_sasrec", "--topology=v5e:3x3", "--items=500")
    assert (done.returncode, done.stdout) == (1, "")
    assert "v5e has no slice of 3x3; the nearest are 4x4, 2x4, 2x2" in done.stderr
    done = podway("preflight", "completejourney_ranking", "--topology=v5e:2x2", "--items=500")
    assert "has no model" in done.stderr
    done = podway("preflight", "completejourney_dcn", "--topology=v5e:2x2", "--items=500")
    assert "the examples of 'completejourney_dcn' are rows: leave it out" in done.stderr


def test_the_page_of_a_scan_plots_what_is_known(monkeypatch, tmp_path):
    names = ("efficiency_percent", "step_ms", "ici_ms", "wire_mb", "memory_gb")
    rows = [{"chips": chips, **dict.fromkeys(names, 7.0 / chips)} for chips in (4, 16, 64)]
    for row in rows:
        row["ici_ms"] = None
    monkeypatch.setattr(reports, "scan_rows", lambda _: rows)
    scanned = [SimpleNamespace(experiment=SimpleNamespace(name="walks"))]
    verb._plot(scanned, epath.Path(tmp_path / "scaling.html"))
    text = (tmp_path / "scaling.html").read_text()
    assert "<h1>walks: predicted weak scaling</h1>" in text
    assert text.count("<svg") == 4
    assert "step_ms (predicted)" in text
    assert "ici_ms" not in text
    assert "chips 4 to 64" in text
    assert "Predictions, not measurements." in text


if __name__ == "__main__":
    # `make golden`: writes the files anew.
    GOLDEN.mkdir(exist_ok=True)
    for config, pod in cases():
        if config in sys.argv[1:] or not sys.argv[1:]:
            text = "\n".join([versions(), *lines(config, pod)]) + "\n"
            (GOLDEN / f"{config}.{pod.replace(':', '-')}.txt").write_text(text)
