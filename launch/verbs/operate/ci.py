"""`podway ci`: the checks of a change to a model."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import tempfile

from podway.framework import artifact, exit_codes
from podway.launch.verbs.verb import Stage, Subject, Verb


@dataclasses.dataclass(frozen=True)
class Ci(Stage):
    """What is checked, and where the report goes."""

    config: Subject = ""
    workdir: str = ""
    """Folder for the artefacts; "": one that is removed."""
    sample: str = ""
    """Raw files to read in place of data.path: a sample that is kept in the repository."""
    golden: str = "golden"
    """Folder of the golden files, NAME.json: each resolved experiment, reviewed and committed."""
    topology: tuple[str, ...] = ()
    """Pods that it must fit: v5e:4x4 v5p:2x2x2. With --items the dataset's sizes are declared."""
    schema: str = ""
    """File that declares what the dataset must be like (`podway data --infer-schema`)."""
    steps: int = 20
    """Steps of training."""
    report: str = "podway_ci.md"
    """File for the report, in Markdown."""
    champions: str = ""
    """Workdir of the model that serves: what the gate would say of the version is said beside it.
    Without it the version is judged alone."""
    update: bool = False
    """Write the golden file anew, and check nothing."""
    init: bool = False
    """Write workflows for GitHub into .github/workflows, and check nothing."""


def ci(options: Ci) -> None:
    """Runs the checks and writes the report; exits with 1 where one failed."""
    from podway.launch.ci import checks, report, workflows

    experiment = sampled = options.experiment
    golden = pathlib.Path(options.golden) / f"{experiment.name}.json"
    if options.init:
        for path in workflows.write(options.config, pathlib.Path()):
            print(f"wrote {path}")
        return
    if options.update:
        checks.update(experiment, golden)
        print(f"wrote {golden}")
        return
    checks.check_steps(options.steps)
    if options.sample:
        data = dataclasses.replace(experiment.data, path=options.sample)
        sampled = dataclasses.replace(experiment, data=data)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        plan = checks.Plan(
            name=options.config,
            workdir=pathlib.Path(options.workdir or folder),
            golden=golden,
            topologies=options.topology,
            schema=options.schema,
            steps=options.steps,
            champions=options.champions,
        )
        for result in checks.run(experiment, sampled, plan):
            state = {True: "passed", False: "FAILED", None: "left out"}[result.passed]
            print(f"{result.check}: {state}: {result.said}", flush=True)
            results.append(result)
    artifact.write_atomically(options.report, report.markdown(experiment.name, results))
    print(f"report: {options.report}")
    if not report.passed(results):
        sys.exit(exit_codes.REFUSED)


VERB = Verb(
    "the checks of a change: golden, preflight, data, 20 steps, export, gate",
    Ci,
    ci,
    example="podway ci movielens_sasrec --topology v5e:2x2 --report report.md",
)
