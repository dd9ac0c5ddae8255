"""`podway show --shardings`: where each array of the training state lies on a pod."""

import math

from podway.framework.config import Experiment
from podway.launch.verbs import preflight


def table(experiment: Experiment, workdir: str, pod: preflight.Pod) -> str:
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
    widths = [max(len(row[at]) for row in cells) for at in range(4)]
    layout = " × ".join(f"{axis} {size}" for axis, size in sizes.items())
    lines = [f"{experiment.name} on {found}: {math.prod(sizes.values())} devices, mesh {layout}"]
    for *texts, number, remark in cells:
        text = "  ".join(each.ljust(width) for each, width in zip(texts, widths, strict=False))
        lines.append(f"{text}  {number:>{widths[3]}}  {remark}".rstrip())
    return "\n".join(lines)
