"""Gathers what a card says: of the config, the run, its evaluation and the dataset.

What is not there is said to be missing, so that somebody fills it in.
"""

import json
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.export import layout
from podway.export.card import markdown, request
from podway.export.card.content import Block, Card, Code, Facts, Figures, Section, Words
from podway.framework import codec, config
from podway.framework.code import provenance
from podway.framework.page import templates
from podway.framework.report import artefacts, dataset, evaluation, metrics

_HERE = pathlib.Path(__file__).parent
_LOG = logging.getLogger(__name__)
_PACKAGES = ("podway", "jax", "flax", "tensorflow")


def texts(
    experiment: config.Experiment,
    *,
    version: int,
    inputs: Mapping[str, str],
    workdir: epath.PathLike,
    details: Mapping[str, Any],
    golden: Mapping[str, Any],
    code: str,
) -> dict[str, str]:
    """The files of a card, by path in the model's version; {} where it cannot be made.

    A card that cannot be made is logged, and keeps no model from being published.

    Args:
      experiment: of the model.
      version: the model's number.
      inputs: versions of the run and the dataset that it is made from.
      workdir: where these lie, if they do.
      details: of the model's manifest.
      golden: its golden requests.
      code: hash of the code that exported it.
    """
    try:
        example = request.example(golden)
        run = artefacts.run(epath.Path(workdir) / "runs" / experiment.name / inputs.get("run", ""))
        card = _card(experiment, version, inputs, run, details, example, code)
        files = {layout.CARD: html(card), layout.CARD_TEXT: markdown.render(card)}
        return files | ({layout.REQUEST: example.body} if example.is_long else {})
    except Exception:
        _LOG.warning("the card of %s %d could not be made", experiment.name, version, exc_info=True)
        return {}


def html(card: Card) -> str:
    """A card as a page."""
    return templates.render(
        "card.html.j2",
        _HERE,
        title=card.title,
        about=card.about,
        sections=[
            (section.title, [(type(block).__name__, block) for block in section.blocks])
            for section in card.sections
        ],
    )


def _card(
    experiment: config.Experiment,
    version: int,
    inputs: Mapping[str, str],
    run: artefacts.Run,
    details: Mapping[str, Any],
    example: request.Example,
    code: str,
) -> Card:
    said = experiment.export.card
    model = type(experiment.model).__name__
    return Card(
        title=f"{experiment.name}, version {version}",
        about=f"{model}, made with Podway",
        sections=[
            Section(
                "What it is",
                [
                    _said(said.description, "description", "what it is"),
                    Facts(_facts(experiment, run, inputs, details)),
                ],
            ),
            Section(
                "Use and license",
                [
                    _said(said.intended_use, "intended_use", "its use", "Meant for: "),
                    _said(said.limits, "limits", "its limits", "Limits: "),
                    _said(said.license, "license", "its license", "License: "),
                ],
            ),
            Section("What it is worth", _worth(run)),
            Section("What it was trained on", _data(run)),
            Section("How to call it", _call(experiment.name, example, details)),
            Section("How it was trained", [_training(experiment)]),
            Section("Code", [Facts(_code(run, code))]),
        ],
    )


def _said(text: str, field: str, what: str, before: str = "") -> Words:
    if text:
        return Words(f"{before}{text}")
    return Words(f"Nothing is said of {what} yet: set export.card.{field} in the config.", True)


def _facts(
    experiment: config.Experiment,
    run: artefacts.Run,
    inputs: Mapping[str, str],
    details: Mapping[str, Any],
) -> list[tuple[str, str]]:
    step = run.manifest.details.get("selected_step") if run.manifest else None
    facts = [
        ("model", type(experiment.model).__name__),
        ("run", inputs.get("run", "")),
        ("checkpoint", f"step {step:,}" if step else ""),
        ("dataset", inputs.get("dataset", "")),
        ("runs in TensorFlow from", str(details.get("target", ""))),
        ("verification", str(details.get("verified", "")).removeprefix("verified: ")),
    ]
    return [(name, value) for name, value in facts if value]


def _worth(run: artefacts.Run) -> list[Block]:
    """The table beside the baselines, or what the validation said."""
    found = artefacts.evaluation(run)
    if found is not None:
        shown = evaluation.shown(found, run.selection)
        examples = found.manifest.details.get("examples")
        count = f"{examples:,} examples of the " if artefacts.is_number(examples) else "the "
        return [
            Words(f"On {count}test split, beside baselines; in brackets 95 % intervals."),
            shown.table,
            Figures([*shown.whiskers, *shown.slices.first]),
        ]
    _, validation = run.validation(run.metrics())
    if not validation:
        return [Words("It was not evaluated: run `podway evaluate` before the export.", True)]
    return [
        Words(
            "On the validation split, which chose the checkpoint. It was not evaluated on the test"
            " split before the export.",
            True,
        ),
        Facts([(name, metrics.number(value)) for name, value in validation.items()]),
    ]


def _data(run: artefacts.Run) -> list[Block]:
    found = artefacts.dataset(run)
    if found is None:
        return [Words("The dataset was not there when the model was exported.", True)]
    directory, manifest = found
    facts = [("name", manifest.name), ("version", manifest.version)]
    return [Facts([*facts, *dataset.facts(directory, manifest)])]


def _call(name: str, example: request.Example, details: Mapping[str, Any]) -> list[Block]:
    signatures = ", ".join(details.get("signatures", ()))
    return [
        Words(
            "TensorFlow Serving and podway serve answer it by REST, and likewise by gRPC. Its"
            f" signatures are {signatures}."
        ),
        Code(example.command(name), "sh"),
        Words(f"The answer: {example.answer}"),
    ]


def _training(experiment: config.Experiment) -> Code:
    parts = codec.to_json(experiment)
    shown = {part: parts[part] for part in ("model", "optimizer", "trainer")}
    return Code(json.dumps(shown, indent=1, ensure_ascii=False), "json")


def _code(run: artefacts.Run, code: str) -> list[tuple[str, str]]:
    versions = provenance.packages()
    facts = [
        ("commit of the run", _commit(run.manifest.git if run.manifest else {})),
        ("commit of the export", _commit(provenance.git())),
        ("code of the run", run.manifest.code if run.manifest else ""),
        ("code of the export", code),
        *((name, versions.get(name, "")) for name in _PACKAGES),
    ]
    return [(name, value) for name, value in facts if value]


def _commit(git: Mapping[str, Any]) -> str:
    commit = git.get("commit", "")
    return f"{commit} with changes" if commit and git.get("dirty") else commit
