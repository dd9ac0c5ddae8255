"""`podway compress`: a smaller or faster model, and the report of what it brings and costs."""

from __future__ import annotations

import dataclasses

from etils import epath

from podway.framework.config import Experiment, Model, previous
from podway.framework.error import check
from podway.launch import stages
from podway.launch.tracking import session
from podway.launch.verbs import preflight
from podway.launch.verbs.verb import Chain, Verb


@dataclasses.dataclass(frozen=True)
class Compress(Chain):
    """An experiment, and the steps that make its model smaller."""

    method: tuple[str, ...] = ()
    """Steps, one after the other: NAME or NAME:FIELD=VALUE,…; after those that the config has."""
    methods: bool = False
    """List the steps that there are, with their fields."""
    prices: str = ""
    """File of your own prices (TOML), before those that Podway brings (docs/capacity.md)."""
    region: str = "us-central1"
    """Region whose prices count."""
    capacity: str = "on-demand"
    """How machines are bought: on-demand, spot, reserved, reserved-1y, reserved-3y, flex-start."""
    topology: str = ""
    """One chip, such as v5e:1x1, for which answers are compiled, too; it need not be there."""
    dry_run: bool = False
    """Say what would be made, and stop."""


MORE = """

Each step makes a run whose parent is the run before it; the last one, and the uncompressed model,
are exported as versions that do not serve yet. The report holds them against each other: size,
memory, operations, time of answers, quality by the same users, and what the export's check said. It
lies in WORKDIR/compressions/NAME/. A version serves after `podway gate` or `podway promote`."""


def compress(options: Compress) -> None:
    """Makes the chain and its report."""
    from podway.launch.compression import method

    if options.methods:
        print(method.listing())
        return
    experiment = method.applied(options.experiment, options.method)
    name = experiment.name
    check(type(experiment.model) is not Model, f"the experiment {name!r} has no model: set `model`")
    check(
        bool(experiment.compression),
        f"{name} has no steps of compression: give --method, such as --method int8; --methods lists"
        " them",
    )
    if options.topology:
        preflight.choose_platform([options.topology])
    from podway.framework.devices import topology
    from podway.launch.cost import rate

    pod = topology.parse(options.topology) if options.topology else None
    check(
        pod is None or pod.devices == 1,
        f"--topology {options.topology} has several devices; give one, as v5e:1x1",
    )
    bought = rate.Bought(options.region, options.capacity)
    core = rate.read(options.prices, bought)(rate.CORE)
    chain = _chain(experiment)
    for each in chain[1:]:
        step = each.compression[-1]
        print(f"compress: {method.described(step)}, {'trains' if step.trains else 'converts'}")
    if options.dry_run:
        return

    from podway.framework.input.dataset import Dataset
    from podway.launch.compression import measure, report

    made, dataset = [], None
    for each in chain:
        dataset, trained = stages.evaluate(each, options.workdir, options.code)
        published = stages.publish(
            each, dataset, trained, options.workdir, options.code, serve=False
        )
        said = method.described(each.compression[-1]) if each.compression else ""
        made.append(measure.Made(said, each, epath.Path(trained), int(published.name)))
    assert dataset is not None
    print("compress: measuring", flush=True)
    rows = measure.measure(made, Dataset.open(dataset.directory), options.workdir, pod)
    folder = report.write(rows, options.workdir, core)
    with session.session(experiment, options.workdir) as teller:
        teller.tell(report.FOLDER, folder)
    print(report.summary(rows, core))
    print(f"report: {folder}/report.html")
    print(f"serve it: `podway promote {name} {made[-1].number} --workdir {options.workdir}`")


def _chain(experiment: Experiment) -> list[Experiment]:
    """The uncompressed experiment, and what each step leads to."""
    found = [experiment]
    while found[0].compression:
        found.insert(0, previous(found[0]))
    return found


VERB = Verb(
    "a smaller or faster model, and its report",
    Compress,
    compress,
    more=MORE,
    example="podway compress movielens_sasrec --method int8 --workdir w",
)
