"""A gate before real versions: published, judged beside each other, promoted or not."""

import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import podway
from podway.export import layout
from podway.export.verification import verify
from podway.export.versions import models_config, promote
from podway.framework import artifact, codec, exit_codes
from podway.framework.config import (
    Better,
    Gate,
    Latency,
    NotWorse,
    Size,
    Within,
)
from podway.launch import stages
from podway.launch.gate import admission, contender, gate, record
from podway.launch.gate.contender import Options
from podway.launch.gate.error import GateError, NotPassed
from podway.launch.gate.measured import Point, Unmeasured
from podway.launch.gate.ranked import EVALUATIONS, Ranked
from podway.launch.registry import record as registered
from podway.launch.tracking import names, session
from podway.launch.tracking.address import Address
from tests.launch.gate.conftest import GATE, second

IMPOSSIBLE = Gate(
    rules=(Better("ndcg@10", by=0.9), NotWorse("ndcg@10", margin=0.9)), least_users=10
)


@pytest.fixture(scope="module")
def gated(shop, folder, tmp_path_factory) -> pathlib.Path:
    """A workdir whose first version serves, and whose second was exported with a gate; not to be
    changed."""
    path = tmp_path_factory.mktemp("gated") / "w"
    shutil.copytree(folder / "w", path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "in_fresh_process", verify.verify)
        stages.evaluate(second(folder), path)
        stages.export(second(folder), path)
    return path


@pytest.fixture
def workdir(gated, tmp_path) -> pathlib.Path:
    """A copy of that."""
    shutil.copytree(gated, tmp_path / "w")
    return tmp_path / "w"


def served(workdir) -> tuple[int, ...]:
    return models_config.served(layout.server_config(workdir), "shop").versions


def history(workdir) -> list[dict]:
    text = (workdir / "models" / "shop" / "history.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def outcomes(verdict) -> list[str]:
    return [each.outcome for each in verdict.findings[1:]]


def test_an_export_with_a_gate_does_not_serve(workdir):
    assert promote.numbers(layout.models(workdir) / "shop") == [1, 2]
    assert served(workdir) == (1,)
    assert admission.has_gate(workdir, "shop", 2)
    assert not admission.has_gate(workdir, "shop", 1)
    assert admission.passed(workdir, "shop", 2) is None


def test_the_command_judges_then_promotes(workdir, podway_command):
    at = "--workdir", str(workdir)
    code, said = podway_command("promote", "shop", "2", *at)
    assert (code, served(workdir)) == (1, (1,))
    assert "shop 2 has a gate, and was not judged: run `podway gate shop 2" in said
    assert "--without-gate" in said

    code, said = podway_command("gate", "shop", "2", *at)
    assert code == 0, said
    assert "PASSED: shop 2 may serve" in said
    assert "shop 2 against champion 1: 62 test examples" in said
    assert EVALUATIONS in said
    made = record.latest(workdir, "shop", 2)
    assert made is not None
    assert made == record.home(workdir, "shop", 2) / "1"
    manifest = artifact.read(made, "gate")
    assert manifest.details["passed"] is True
    assert manifest.inputs["champion"] == contender.find("shop", 1, workdir).manifest.version
    page = (made / "report.html").read_text()
    assert "Gate of shop 2: passed" in page
    assert page.count("<svg") == 3
    verdict = admission.passed(workdir, "shop", 2)
    assert verdict is not None
    assert outcomes(verdict) == ["passed"] * 7
    assert json.loads((made / "verdict.json").read_text())["passed"] is True

    assert podway_command("gate", "shop", "2", *at)[0] == 0
    assert record.latest(workdir, "shop", 2) == made, "the verdict is there"
    assert podway_command("gate", "shop", "2", "--again", *at)[0] == 0
    assert record.latest(workdir, "shop", 2) == made.parent / "2"

    code, said = podway_command("promote", "shop", "2", *at)
    assert (code, served(workdir)) == (0, (2,)), said
    assert history(workdir)[-1]["gate"] == "passed"
    assert "promote, gate passed" in podway_command("versions", "shop", *at)[1]
    assert admission.passed(workdir, "shop", 2) == record.read(made.parent / "2"), "it serves"
    assert podway_command("promote", "shop", "2", "--label", "stable", *at)[0] == 0
    code, said = podway_command("gate", "shop", "2", "--again", *at)
    assert (code, "is the champion itself" in said) == (1, True)


def test_one_that_does_not_pass_is_refused_unless_forced(workdir, podway_command, folder):
    with pytest.raises(NotPassed, match=r"ndcg@10 better by 0\.9: it is not so for these 62"):
        gate.say(*gate.judge("shop", 2, Options(workdir, experiment=second(folder, IMPOSSIBLE))))
    at = "--workdir", str(workdir)
    code, said = podway_command("promote", "shop", "2", *at)
    assert (code, served(workdir)) == (exit_codes.NOT_PASSED, (1,))
    assert "shop 2 did not pass its gate: ndcg@10 better by 0.9" in said
    assert "report.html" in said
    assert podway_command("promote", "shop", "2", "--label", "canary", *at)[0] == 3
    assert served(workdir) == (1,)
    code, said = podway_command("promote", "shop", "2", "--without-gate", *at)
    assert (code, served(workdir)) == (0, (2,)), said
    assert history(workdir)[-1]["gate"] == "forced"
    assert "promote, gate forced" in podway_command("versions", "shop", *at)[1]
    assert podway_command("rollback", "shop", *at)[0] == 0, "there is always a way back"
    assert served(workdir) == (1,)


def test_a_dry_run_says_what_a_gate_would_say_and_keeps_nothing(
    gated, workdir, folder, podway_command
):
    asked = "gate", "shop", "2", "--workdir", str(workdir)
    code, said = podway_command(*asked, "--dry-run")
    assert (code, "PASSED: shop 2 may serve" in said) == (0, True), said
    assert "shop 2 against champion 1:" in said
    config = folder / "dry.json"
    config.write_text(json.dumps(codec.to_json(second(folder, IMPOSSIBLE))))
    code, said = podway_command(*asked, "--dry-run", "--config", str(config))
    assert (code, "NOT PASSED: ndcg@10 better by 0.9" in said) == (0, True), said
    typed = Gate(rules=(NotWorse("ndgc@10"), Within("coverage@10", low=0.1)))
    config.write_text(json.dumps(codec.to_json(second(folder, typed))))
    code, said = podway_command(*asked, "--dry-run", "--config", str(config))
    assert code == 1
    assert "gate.rules of shop asks for what nobody can measure: ndgc@10 not worse" in said
    assert (record.latest(workdir, "shop", 2), served(workdir)) == (None, (1,))

    # A change is checked in a workdir of its own, beside the champion of another one.
    shutil.rmtree(workdir / "models" / "shop" / "1")
    (workdir / "models" / "models.config").unlink()
    before = sorted(gated.rglob("*"))
    code, said = podway_command(*asked, "--dry-run", "--champions", str(gated))
    assert (code, "shop 2 against champion 1:" in said) == (0, True), said
    assert sorted(gated.rglob("*")) == before
    assert "shop 2 against no champion" in podway_command(*asked, "--dry-run")[1]
    (workdir / "none").mkdir()
    none = "--champions", str(workdir / "none")
    assert "against no champion" in podway_command(*asked, "--dry-run", *none)[1]
    assert "--champions is for --dry-run" in podway_command(*asked, *none)[1]
    code, said = podway_command(*asked, "--dry-run", "--champions", str(workdir / "gone"))
    assert (code, "gone does not exist; give the workdir" in said) == (1, True), said


def test_a_verdict_holds_as_long_as_its_champion_does(workdir, podway_command):
    assert podway_command("gate", "shop", "2", "--workdir", workdir)[0] == 0
    shutil.copytree(workdir / "models/shop/1", workdir / "models/shop/3")
    promote.promote("shop", 3, workdir)
    assert admission.passed(workdir, "shop", 2) is None
    code, said = podway_command("promote", "shop", "2", "--workdir", workdir)
    assert code == 1
    assert "passed its gate against champion 1, and the champion is 3 now" in said


def test_run_promotes_what_passes_and_leaves_the_rest(workdir, folder, podway_command):
    result = podway.run(second(folder), workdir)
    assert result.gate == record.latest(workdir, "shop", 2)
    assert result.model is not None
    assert (result.model.name, served(workdir)) == ("2", (2,))
    assert history(workdir)[-1]["action"] == "promote"
    again = podway.run(second(folder), workdir)
    assert (again.model, again.gate) == (result.model, result.gate)
    assert promote.numbers(layout.models(workdir) / "shop") == [1, 2]

    assert podway_command("rollback", "shop", "--workdir", workdir)[0] == 0
    podway.run(second(folder), workdir)
    assert served(workdir) == (1,), "what was taken back does not come again by itself"
    with pytest.raises(NotPassed) as refused:
        podway.run(second(folder, IMPOSSIBLE), workdir)
    assert refused.value.exit_code == 3
    assert served(workdir) == (1,)
    assert admission.passed(workdir, "shop", 2) is None, "the last verdict counts"


def test_the_run_command_ends_with_the_gate(workdir, folder, podway_command):
    """On a cluster it is the last part of a launch, of a frozen experiment."""
    for gate_, code, now in ((IMPOSSIBLE, exit_codes.NOT_PASSED, (1,)), (GATE, 0, (2,))):
        config = folder / f"gated_{code}.json"
        config.write_text(json.dumps(codec.to_json(second(folder, gate_))))
        found, said = podway_command("run", str(config), "--workdir", workdir)
        assert (found, served(workdir)) == (code, now), said
        assert "export: up to date" in said
    assert not exit_codes.ending(exit_codes.NOT_PASSED).restart


def test_the_first_version_is_judged_alone(workdir, folder):
    (workdir / "models" / "models.config").unlink()
    (workdir / "models" / "shop" / "history.jsonl").unlink()
    rules = (
        *GATE.rules,
        Within("hr@10", low=0.01),
        Latency(milliseconds=10_000),
        Size(megabytes=9),
    )
    alone = second(folder, dataclasses.replace(GATE, rules=rules))
    podway.run(alone, workdir)
    verdict = admission.passed(workdir, "shop", 2)
    assert verdict is not None
    assert verdict.champion is None
    assert outcomes(verdict) == [
        *["skipped"] * 3,
        *("passed", "skipped", "skipped", "skipped", "passed", "passed", "passed"),
    ]
    assert served(workdir) == (2,)


def test_a_champion_may_be_named_by_its_label(workdir, folder):
    labelled = second(folder, dataclasses.replace(GATE, label="stable"))
    verdict, _ = gate.judge("shop", 2, Options(workdir, experiment=labelled))
    assert (verdict.champion, verdict.label) == (None, "stable"), "nobody has a label yet"
    promote.promote("shop", 1, workdir, label="stable")
    verdict, _ = gate.judge("shop", 2, Options(workdir, experiment=labelled))
    assert (verdict.champion, verdict.label) == (1, "stable")
    with pytest.raises(GateError, match="no label 'stabel', at which the champion would be; it"):
        gate.judge("shop", 2, Options(workdir, label="stabel"))


def test_what_cannot_be_judged_says_what_would_help(workdir, folder, podway_command):
    def judge(*rules, **known):
        chosen = second(folder, dataclasses.replace(GATE, rules=rules))
        return gate.judge("shop", 2, Options(workdir, experiment=chosen, **known))[0]

    rules = [
        (NotWorse("ndgc@10"), "a recommender has no ndgc@10"),
        (NotWorse("coverage@10"), "coverage@10 has no interval"),
        (Within("coverage@10", low=0, slice="target tail"), "no coverage@10 of a slice"),
        (NotWorse("hr@10", slice="target cold"), "no test user is in the slice 'target cold'"),
    ]
    verdict = judge(*(rule for rule, _ in rules))
    assert outcomes(verdict) == ["not judged"] * len(rules)
    for found, (_, said) in zip(verdict.findings[1:], rules, strict=True):
        assert said in found.reason
    with pytest.raises(GateError, match=r"--config is of 'timed', and the version is of 'shop'"):
        other = dataclasses.replace(second(folder), name="timed")
        gate.judge("shop", 2, Options(workdir, experiment=other))
    with pytest.raises(GateError, match=r"models/shop/1 was exported with a config that has no g"):
        promote.promote("shop", 2, workdir)
        gate.judge("shop", 1, Options(workdir))
    assert podway_command("gate", "shop", "two", "--workdir", workdir)[0] == 1
    assert "has no version 9" in podway_command("gate", "shop", "9", "--workdir", workdir)[1]
    shutil.rmtree(contender.find("shop", 2, workdir).run)
    promote.promote("shop", 1, workdir)
    with pytest.raises(GateError, match=r"the run .* made of is not in .*: make it again by `po"):
        gate.judge("shop", 2, Options(workdir))


def test_an_altered_verdict_is_refused(workdir, podway_command):
    assert podway_command("gate", "shop", "2", "--workdir", workdir)[0] == 0
    made = record.latest(workdir, "shop", 2)
    assert made is not None
    text = (made / "verdict.json").read_text()
    (made / "verdict.json").write_text(text.replace('"failed"', '"passed"') + " ")
    with pytest.raises(artifact.ArtifactError, match=re.escape("verdict.json")):
        admission.passed(workdir, "shop", 2)
    assert podway_command("promote", "shop", "2", "--workdir", workdir)[0] == 1


def test_scores_that_are_no_numbers_are_seen():
    """The ranks of such a model are whole numbers all the same."""
    ranks = np.array([1, 2, 3])
    table = {"invalid_scores": {"value": 0.25, "users": 1}, "novelty@10": {"value": None}}
    found = Ranked(ranks, ranks, None, None, {}, table, EVALUATIONS)
    assert found.invalid == 0.25
    unknown = found.metric("novelty@10", "")
    assert isinstance(unknown, Point)
    assert np.isnan(unknown.candidate)
    shallow = dataclasses.replace(found, depth=5)
    assert isinstance(shallow.metric("ndcg@10", ""), Unmeasured)
    assert not isinstance(shallow.metric("ndcg@5", ""), Unmeasured)


def test_whether_a_version_may_serve_is_asked_without_jax(gated):
    """What moves versions asks it, where neither JAX nor TensorFlow need be installed."""
    code = (
        "import sys\n"
        "from podway.launch.gate import admission\n"
        f"assert admission.passed({str(gated)!r}, 'shop', 2) is None\n"
        "sys.exit(str({'jax', 'tensorflow', 'numpy'} & {*sys.modules} or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "", done.stderr


def test_a_verdict_is_told_and_its_version_is_the_challenger(workdir, address, podway_command):
    at = "--workdir", str(workdir)
    assert registered.aliases("shop", workdir) == {"champion": 1}
    assert podway_command("gate", "shop", "2", *at)[0] == 0
    made = record.latest(workdir, "shop", 2)
    assert made is not None
    assert registered.aliases("shop", workdir) == {"champion": 1, "challenger": 2}
    tracked = pytest.importorskip("tests.launch.tracking.tracked")
    from podway.launch.follower import catch_up, tell
    from podway.launch.tracking.database import Database

    database = Database(address, workdir)
    tell.tell(database, "gate", made, "session")
    told = tracked.runs(address)
    verdict, run = told["gate/shop/2-1"], next(told[key] for key in told if key[:4] == "run/")
    assert (verdict.info.status, len(told)) == ("FINISHED", 2)
    assert verdict.data.tags["podway.verdict"] == "passed"
    assert verdict.data.tags["podway.page"] == str(made / record.PAGE)
    assert verdict.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert verdict.data.params["gate.rules.0.metric"] == "ndcg@10"
    found = record.read(made).findings[1]
    for part in ("candidate", "champion", "difference", "low", "high", "p"):
        name = names.metric(f"{found.rule}/{part}")
        assert verdict.data.metrics[name] == getattr(found, part), name
    model = tracked.client(address).get_registered_model("shop")
    assert model.aliases == {"champion": 1, "challenger": 2}
    tags = tracked.client(address).get_model_version("shop", "2").tags
    assert tags["podway.gate"] == "passed against champion 1"
    assert tags["podway.gate.report"] == str(made / record.PAGE)
    before = tracked.rows(address)
    tell.tell(database, "gate", made, "session")
    for kind, directory in catch_up.found(workdir)[1]:
        if kind == "gate":
            tell.tell(database, kind, directory)
    assert tracked.rows(address) == before
    assert podway_command("promote", "shop", "2", *at)[0] == 0
    tell.tell(database, "registry", workdir / "models" / "shop")
    assert tracked.client(address).get_registered_model("shop").aliases == {"champion": 2}


def test_commands_tell_of_the_verdict_before_they_end_with_it(
    workdir, folder, podway_command, monkeypatch
):
    seen = []

    class Recorder(session._Piped):
        def _send(self, message):
            seen.append(message)

    monkeypatch.setattr(session, "_Piped", Recorder)
    monkeypatch.setattr(session.address, "of", lambda config: Address("sqlite:///x.db"))
    assert podway_command("gate", "shop", "2", "--workdir", workdir)[0] == 0
    verdicts = record.home(workdir, "shop", 2)
    assert seen == [{"tell": ["gate", str(verdicts / "1")]}]
    home = str(workdir / "models" / "shop")
    for gate_, code in ((IMPOSSIBLE, exit_codes.NOT_PASSED), (GATE, 0)):
        seen.clear()
        config = workdir / f"gated_{code}.json"
        config.write_text(json.dumps(codec.to_json(second(folder, gate_))))
        assert podway_command("run", str(config), "--workdir", workdir)[0] == code
        told = [each["tell"] for each in seen if "tell" in each]
        last = str(record.latest(workdir, "shop", 2))
        wanted = [["gate", last]] + [["registry", home]] * (not code)
        assert told[-len(wanted) :] == wanted
