import json
import pathlib
from typing import Any

import numpy as np
import pytest
from etils import epath

from podway.framework import artifact
from podway.framework.error import ConfigError
from podway.launch import cli
from podway.launch.verbs import check
from tests.beam.check.test_check import columns, make


def created(directory: epath.Path, when: str) -> epath.Path:
    """Changes the time in a manifest."""
    path = directory / artifact.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": when}))
    return directory


@pytest.fixture
def versions(tmp_path: pathlib.Path) -> list[epath.Path]:
    """Three datasets, the oldest one first; the newest drifted."""
    prices = columns(3)["price"]
    made = [
        make(tmp_path / "d" / "b", 1),
        make(tmp_path / "d" / "a", 2),
        make(tmp_path / "d" / "c", 3, price=prices * 3),
    ]
    return [created(path, f"2026-01-0{day}T00:00:00") for day, path in enumerate(made, 1)]


def test_the_latest_other_version_is_found(versions):
    old, middle, new = versions
    assert check.earlier(new, check.LATEST, needed=False) == middle
    assert check.earlier(new, None, needed=True) == middle
    assert check.earlier(new, None, needed=False) is None
    assert check.earlier(new, "b", needed=False) == old
    assert check.earlier(middle, check.LATEST, needed=False) == new
    (new.parent / "_staging-x").mkdir()
    for version in ("c", "x", "_staging-x"):
        with pytest.raises(ConfigError, match=rf"{version} is no other .* are \['a', 'b'\]"):
            check.earlier(new, version, needed=False)


def test_the_first_dataset_has_nothing_to_be_compared_with(tmp_path):
    first = make(tmp_path / "d" / "first")
    with pytest.raises(ConfigError, match=r"no other version beside .*first .*; give --schema"):
        check.run(first, check.Check(check=True))


def test_a_check_that_passes_and_one_that_fails(versions, tmp_path, capsys):
    old, middle, new = versions
    check.run(middle, check.Check(check=True, against=old.name))
    assert f"check of {middle}: 5 features, 0 errors" in capsys.readouterr().out
    file = tmp_path / "report.json"
    with pytest.raises(check.CheckError, match=r"c failed the check: see the report above"):
        check.run(new, check.Check(check=True, report=str(file)))
    shown = capsys.readouterr().out
    assert f"against {middle}" in shown
    assert "price    train  drift" in shown
    report = json.loads(file.read_text())
    assert not report["passed"]
    assert {one["feature"] for one in report["findings"]} == {"price"}


def test_a_schema_is_inferred_once_and_used(versions, tmp_path, capsys):
    old, _, new = versions
    path = str(tmp_path / "schema.json")
    check.run(old, check.Check(infer_schema=path))
    check.run(old, check.Check(check=True, schema=path))
    assert f"as declared in {path}" in capsys.readouterr().out
    with pytest.raises(check.CheckError):
        check.run(new, check.Check(check=True, schema=path))
    assert "range" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"schema.json is there already; remove it"):
        check.run(new, check.Check(infer_schema=path))


@pytest.mark.parametrize("field", ["schema", "against", "report"])
def test_options_that_would_do_nothing(field):
    options: dict[str, Any] = {field: "x"}
    with pytest.raises(ConfigError, match=f"--{field} says how to check: add --check"):
        check.Check(**options)


CONFIG = """
from podway.framework.config import Data, Experiment
from podway.framework.config.features import Categorical, Numeric
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW


def experiment():
    features = (Categorical("city"), Numeric("price"))
    data = Data(name="shop", path="?", features=features, min_user_events=1, min_item_events=1)
    return Experiment(name="shop", data=data, model=SasRec(), optimizer=AdamW())
"""


def test_the_command_builds_and_checks(tmp_path, capsys):
    config, schema = tmp_path / "shop.py", str(tmp_path / "schema.json")
    config.write_text(CONFIG)
    for name, factor in (("first", 1), ("second", 1), ("third", 4)):
        generator = np.random.default_rng(len(name))
        prices = np.exp(generator.normal(size=3_000)) * factor
        lines = ["user,item,time,city,price"]
        lines += [
            f"{at % 600},i{generator.integers(50)},{at},c{generator.integers(9)},{price:.2f}"
            for at, price in enumerate(prices)
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))

    def podway(name: str, *options: str) -> str:
        path = ["--workdir", str(tmp_path / "w"), "--data.path", str(tmp_path / f"{name}.csv")]
        cli.main(["data", str(config), *path, *options])
        return capsys.readouterr().out

    assert "wrote" in podway("first", "--infer-schema", schema)
    assert "7 features, 0 errors, 0 warnings" in podway("second", "--check")
    with pytest.raises(SystemExit) as ended:
        podway("third", "--check", "--against", "latest-but-this", "--schema", schema)
    assert ended.value.code == 1
    shown = capsys.readouterr()
    assert "failed the check: see the report above" in shown.err
    failed = {tuple(line.split()[1:4]) for line in shown.out.splitlines() if line[:5] == "error"}
    assert failed == {("price", "train", "drift"), ("price", "train", "range")}
    assert podway("third", "--check", "--limits.psi", "9", "--limits.outside", "1")
