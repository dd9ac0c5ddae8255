"""`podway show`: an experiment as JSON, or where its training state lies on a pod."""

import dataclasses
import json
import math
from typing import Annotated

import tyro

from podway.framework import codec
from podway.framework.config import Experiment
from podway.launch import console
from podway.launch.verbs import preflight
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class Show(Stage):
    """An experiment to print, or where its training state lies on devices."""

    shardings: bool = False
    """Print each array of the training state, how it is split, and its bytes on a device."""
    pod: Annotated[preflight.Pod, tyro.conf.arg(name="")] = preflight.Pod()


def show(options: Show) -> None:
    """Prints the resolved tree as JSON, or the table of shardings."""
    if options.shardings:
        print(shardings(options.experiment, options.workdir, options.pod))
        return
    escaped = not console.knows_all_characters()
    print(json.dumps(codec.to_json(options.experiment), indent=2, ensure_ascii=escaped))


def shardings(experiment: Experiment, workdir: str, pod: preflight.Pod) -> str:
    """Path, shape, split and bytes per device of each array, and their sum; what
    no rule names is marked, as each device holds all of it. Compiles nothing."""
    preflight.check_trained(experiment)
    from podway.framework.devices import mesh, topology
    from podway.framework.training.state import describe_state

    found = topology.parse(pod.topology, pod.slices) if pod.topology else topology.here()
    sizes = mesh.shape(experiment.mesh, found.devices, found.slices)
    rows = describe_state(experiment, preflight.schema(experiment, workdir, pod), sizes)
    cells = [("array", "dtype and shape", "split along", "bytes on a device", "")]
    cells += [(row.path, row.kind, row.split, f"{row.bytes:,}", row.remark) for row in rows]
    cells += [("sum", "", "", f"{sum(row.bytes for row in rows):,}", "")]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    layout = " × ".join(f"{axis} {size}" for axis, size in sizes.items())
    lines = [f"{experiment.name} on {found}: {math.prod(sizes.values())} devices, mesh {layout}"]
    for *texts, number, remark in cells:
        text = "  ".join(cell.ljust(width) for cell, width in zip(texts, widths, strict=False))
        lines.append(f"{text}  {number:>{widths[3]}}  {remark}".rstrip())
    return "\n".join(lines)


VERB = Verb(
    "print the resolved experiment",
    Show,
    show,
    example="podway show movielens_sasrec --trainer.steps 200",
)
