"""The checker of manifests, checked: it takes what is right, and names each planted error."""

import json

import pytest
import yaml

from tests.cluster import manifests, planted, planted_custom, programs
from tests.cluster.validation import validate, validate_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """The program; a machine without Go says so, and one that has it must be able to build it."""
    if why := programs.missing():
        pytest.skip(f"no manifest is validated: {why}")
    programs.build("validate")


@pytest.mark.parametrize("make", manifests.GOOD)
def test_what_is_right_passes(make):
    assert validate([make()]) == []


@pytest.mark.parametrize(
    "error",
    [*planted.BUILTIN, *planted_custom.CUSTOM, *planted_custom.WEBHOOK, *planted_custom.SILENT],
    ids=lambda error: error.name,
)
def test_each_planted_error_is_caught_and_named(error):
    found = validate([error.manifest])
    who = f"{error.manifest['kind']} {error.manifest['metadata']['name']}: "
    assert all(line.startswith(who) for line in found)
    named = [line.removeprefix(who) for line in found if error.message in line]
    assert any(line.partition(": ")[0].endswith(error.field) for line in named), found


def test_files_of_several_documents_in_yaml_and_json(tmp_path):
    good, (bad, *_) = manifests.service(), planted.BUILTIN
    (tmp_path / "a.yaml").write_text(
        "# Two.\n---\n" + yaml.safe_dump_all([good, bad.manifest]) + "---\n# Nothing.\n"
    )
    (tmp_path / "b.json").write_text(json.dumps(good))
    (line,) = validate_files([tmp_path / "a.yaml", tmp_path / "b.json"])
    assert line.startswith(f"{tmp_path}/a.yaml: Deployment serving-sasrec-12: spec.template")


def test_what_it_does_not_know_is_an_error():
    (found,) = validate([manifests.manifest("example.com/v1", "Gadget", "g", {})])
    assert found.startswith('Gadget g: no kind "Gadget" is registered for version "example.com/v1"')
    (found,) = validate([manifests.manifest("jobset.x-k8s.io/v1", "JobSet", "g", {})])
    assert found == "JobSet g: apiVersion jobset.x-k8s.io/v1 is not served"


@pytest.mark.parametrize(
    "kind", ["v1\nkind: ConfigMap", "kueue.x-k8s.io/v1beta2\nkind: LocalQueue"]
)
def test_a_field_that_is_given_twice(kind, tmp_path):
    file = tmp_path / "twice.yaml"
    file.write_text(f"apiVersion: {kind}\nmetadata: {{name: a, name: b}}\n")
    assert any("already set in map" in line for line in validate_files([file]))
