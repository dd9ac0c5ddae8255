import json
import pathlib
import shutil

import pytest

from podway.export import contract
from podway.export.error import ExportError
from podway.export.graph import saved_model
from podway.export.layout import GOLDEN
from podway.export.lowering import recommender, stablehlo
from podway.export.verification import verify
from podway.framework import artifact
from podway.launch import cli
from tests.test_walls import ROOT, imports


@pytest.fixture
def rewritten(trained, published, tmp_path):
    """The published model, written anew from other parameters or for another target."""

    def rewrite(parameters=None, target: str = "2.18") -> pathlib.Path:
        agreed = contract.resolve(trained.experiment.export, trained.schema)
        function = recommender.recommend(trained.experiment.model, trained.schema, agreed.top_k)
        program = stablehlo.lower(function, trained.parameters, agreed.max_history, target)
        values = trained.parameters if parameters is None else parameters
        saved_model.write(tmp_path / "m", program, None, values, trained.vocabulary, agreed, {})
        shutil.copytree(published / "assets.extra", tmp_path / "m" / "assets.extra")
        return tmp_path / "m"

    return rewrite


def test_a_published_model_can_be_verified_again(published):
    report = verify.verify(published)
    assert "20 cases and 9 warm-up requests" in report


def test_the_golden_requests_cover_the_edges_and_every_batch_size(published):
    golden = json.loads((published / GOLDEN).read_text())
    names = [case["name"] for case in golden["cases"]]
    for size in (1, 2, 3, 5, 6, 11):
        assert f"a batch of {size}" in names
    assert {
        "no history",
        "a history of unknown values only",
        "padding in the middle",
        "a history longer than 64",
        "every item seen",
        "a batch of 3 without columns",
    } <= set(names)
    assert max(len(row["ids"]) for row in golden["rows"]) > 64


def test_one_altered_weight_is_found_and_measured(rewritten, trained):
    path = "blocks/0/down/bias"
    altered = trained.parameters[path].copy()
    altered[3] += 1e-3
    model = rewritten(trained.parameters | {path: altered})
    with pytest.raises(
        ExportError, match=r"case 'no history', signature serving_default, row 0, .*differ by"
    ):
        verify.verify(model)


def test_a_swapped_vocabulary_is_found(rewritten, trained, published):
    model = rewritten()
    golden = json.loads((model / GOLDEN).read_text())
    answer = golden["rows"][golden["cases"][3]["rows"][0]]["answer"]
    answer["values"][0], answer["values"][1] = answer["values"][1], answer["values"][0]
    (model / GOLDEN).write_text(json.dumps(golden))
    with pytest.raises(ExportError, match=r"'one item', signature serving_default.*JAX says"):
        verify.verify(model)


def test_a_module_for_a_later_tensorflow_is_refused(rewritten):
    with pytest.raises(ExportError, match=r"StableHLO_v1\.13\.7.*TensorFlow 2\.18 reads"):
        verify.verify(rewritten(target="2.21"))


@pytest.mark.parametrize(
    ("module", "unknown"),
    [
        ("podway.export.verification.__main__", {"jax", "flax"}),
        ("podway.export.identity", {"jax", "flax", "tensorflow"}),
    ],
)
def test_what_must_start_without_a_library_never_reaches_it(module, unknown):
    reached, queue = set(), [module]
    while queue:
        module = ROOT / "src" / queue.pop().replace(".", "/")
        for path in (module.with_name(f"{module.name}.py"), module / "__init__.py"):
            if path.exists() and path not in reached:
                reached.add(path)
                queue += imports(path, at_start=True)
    assert len(reached) > 3
    for path in reached:
        assert not {name.split(".")[0] for name in imports(path, at_start=True)} & unknown, path


@pytest.mark.usefixtures("verified_elsewhere")
def test_a_process_that_dies_is_reported(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 3/9 a case; echo out of luck >&2; kill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(verify.sys, "executable", str(python))
    with pytest.raises(ExportError, match="ended with exit code -9: out of luck"):
        verify.in_fresh_process(tmp_path)


def test_the_manifest_lists_every_file(published):
    manifest = artifact.read(published, "model", manifest="assets.extra/export.json")
    listed = {file.path for file in manifest.files} | {"assets.extra/export.json"}
    assert listed == set(artifact.walk(published))
    assert {
        "saved_model.pb",
        "fingerprint.pb",
        "assets/item_values.tensor",
        "assets.extra/golden.json",
        "assets.extra/tf_serving_warmup_requests",
    } <= listed


def podway(capsys, *arguments: str) -> tuple[int, str]:
    code = 0
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_the_command_checks_a_published_model_wherever_it_lies(published, tmp_path, capsys):
    copy = tmp_path / "m"
    shutil.copytree(published, copy)
    code, text = podway(capsys, "export", "--check", str(copy))
    assert code == 0
    assert "files are as published; verified: 20 cases and 9 warm-up requests" in text
    golden = copy / GOLDEN
    content = json.loads(golden.read_text())
    content["rows"][content["cases"][3]["rows"][0]]["answer"]["scores"][0] += 1e-3
    golden.write_text(json.dumps(content))
    code, text = podway(capsys, "export", "--check", str(copy))
    assert (code, "golden.json" in text, "case" in text) == (1, True, False)
    told = {"name": "m", "version": "v", "config": {}, "inputs": {}, "code": "c"}
    artifact.commit(copy, kind="model", manifest="assets.extra/export.json", **told)
    code, text = podway(capsys, "export", "--check", str(copy))
    assert (code, "case 'one item'" in text, "they differ by 0.001" in text) == (1, True, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--check", "/no/model"], 1, "MODEL_DIR /no/model is no folder; give WORKDIR/models"),
        (["--check", "."], 1, "no committed model: it has no assets.extra/export.json"),
        (["--check"], 2, "usage: podway export --check MODEL_DIR"),
        (["--check", "--help"], 0, "Example:  podway export --check w/models"),
    ],
)
def test_what_is_no_model_is_said(arguments, code, message, capsys):
    found, text = podway(capsys, "export", *arguments)
    assert found == code
    assert message in text
