"""What a verb is, and the options that several share."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal

import tyro

from podway.framework import config
from podway.framework.artifact.upgrade import Choice
from podway.framework.error import check
from podway.launch import experiments

Subject = Annotated[str, tyro.conf.Suppress]
"""What stands after the verb: not an option."""
Of = Literal[
    "CONFIG",
    "CONFIG|MODEL",
    "RUN",
    "RUN RUN …",
    "MODEL",
    "MODEL VERSION",
    "MODEL [VERSION]",
    "MODEL [ITEM] …",
    "MODEL_DIR",
    "LAUNCH",
    "RUN|WORKDIR",
    "ARTEFACT",
    "",
]
"""What a verb acts on: an experiment, that or a published model, the folder of a run, several runs,
a published model, a version of it (in brackets: or without one), some of its items, the folder of
one, a launch on a cluster, a run or a workdir, any artefact, or nothing in particular."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """An experiment and where its artefacts lie."""

    experiment: Annotated[config.Experiment, tyro.conf.arg(name="")]
    workdir: str = "workdir"
    """Folder of datasets/, runs/, evaluations/ and models/."""


@dataclasses.dataclass(frozen=True)
class Chain(Stage):
    """An experiment, where its artefacts lie, and what becomes of those that other code made."""

    code: Choice | None = None
    """Where an artefact of this config and these inputs is there, but was made or begun by other
    code: keep it and go on, or make it new. Without this the command stops and names both."""


@dataclasses.dataclass(frozen=True)
class Trained(Chain):
    """As Chain, and what comes after the run that the experiment says."""

    more: tuple[int, ...] = ()
    """Go on from the finished run of this config for so many more steps, in a run of its own whose
    parent it is. Two numbers: from the longer run once more."""
    compress: tuple[str, ...] = ()
    """Steps that make the trained model smaller, each in a run of its own: NAME or
    NAME:FIELD=VALUE,…; `podway compress` lists and measures them."""

    @property
    def chosen(self) -> config.Experiment:
        """The experiment after these steps. Raises ConfigError."""
        if not self.compress:
            return self.experiment
        from podway.launch.compression import method

        check(not self.more, "--more and --compress do not go together: train longer first")
        return method.applied(self.experiment, self.compress)


@dataclasses.dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
      help: what it does.
      options: its options.
      act: does it.
      choose: defaults that depend on the other options, as they were given.
      of: what stands after it.
      more: what `--help` says beside `help`.
      example: a command that uses it.
      without_model: of an experiment it reads neither the model nor the optimizer.
    """

    help: str
    options: type
    act: Callable[[Any], None]
    choose: Callable[[list[str]], dict[str, Any]] = lambda _: {}
    of: Of = "CONFIG"
    more: str = ""
    example: str = ""
    without_model: bool = False

    def subject(self, chosen: list[str]) -> dict[str, Any]:
        """The fields of its options that what stands after it fills. Raises ConfigError."""
        match self.of:
            case "RUN":
                return {"run": chosen[0]}
            case "RUN RUN …":
                return {"runs": tuple(chosen)}
            case "MODEL" | "MODEL VERSION" | "MODEL [VERSION]":
                return dict(zip(("model", "version"), chosen, strict=False))
            case "MODEL [ITEM] …":
                return {"model": chosen[0], "near": tuple(chosen[1:])}
            case "CONFIG|MODEL":
                return {"subject": chosen[0]}
            case "LAUNCH":
                return {"launch": chosen[0]}
            case "RUN|WORKDIR":
                return {"place": chosen[0]}
            case "ARTEFACT":
                return {"thing": chosen[0]}
            case "MODEL_DIR":
                return {"directory": chosen[0]}
            case "":
                return {}
        named = {field.name for field in dataclasses.fields(self.options)} & {"config"}
        found = experiments.load(chosen[0], without_model=self.without_model)
        return {"experiment": found, **dict.fromkeys(named, chosen[0])}
