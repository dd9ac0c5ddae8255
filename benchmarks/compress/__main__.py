"""What each way to compress brings and costs, on four models: python -m benchmarks.compress

    python -m benchmarks.compress --workdir w
    python -m benchmarks.compress --workdir w --only movielens1m --path ml-1m.txt

Runs `podway compress` for each model and each chain of steps, and prints one table: how many times
smaller weights, files and memory are; time of an answer as a share of the uncompressed model's,
both taking turns; the selecting metric on the test split, and its change in percent with the paired
95 % interval. MovieLens 1M needs its file, see benchmarks/reproduce.py, and is left out without it.
A chain that is there already is not trained again, only measured.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import tyro

_INT8 = "int8:dense=true"
_INT4 = ("quantization_aware:dense=true", "int4:dense=true")
_HEAD = (
    "model", "steps", "weights", "files", "memory", "MFLOP", "time, 1", "8", "64 rows", "metric",
    "change",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, and the chains of steps that are tried on it."""

    config: str
    chains: tuple[tuple[str, ...], ...]


SEQUENCE = (
    (_INT8,),
    _INT4,
    ("units:keep=0.5", "tune:steps=300", _INT8),
    ("distil:width=16",),
    ("distil:width=32", "magnitude:steps=300", _INT8),
)
CASES: Mapping[str, Case] = {
    "movielens": Case("movielens_sasrec", SEQUENCE),
    "movielens1m": Case("benchmarks/compress/movielens1m.py", SEQUENCE),
    "dcn": Case("completejourney_dcn", ((_INT8,), ("quantization_aware:steps=100", *_INT4[1:]))),
    "decoder": Case(
        "characters_decoder",
        ((_INT8,), _INT4, ("layers:drop=1", "tune:steps=200", _INT8), ("distil:width=64",)),
    ),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    workdir: str = "workdir"
    """Where artefacts lie."""
    only: tuple[str, ...] = tuple(CASES)
    """Which models."""
    path: str = ""
    """The file of MovieLens 1M."""


def main(options: Options) -> None:
    """Prints the table, a row as soon as it is measured."""
    print(f"| {' | '.join(_HEAD)} |\n|{'---|' * len(_HEAD)}", flush=True)
    for name in options.only:
        if name == "movielens1m" and not options.path:
            print("movielens1m is left out: --path", file=sys.stderr)
            continue
        words = ("--data.path", options.path) if name == "movielens1m" else ()
        for chain in CASES[name].chains:
            report = compressed(CASES[name].config, chain, (*words, "--workdir", options.workdir))
            print(f"| {name} | {' | '.join(cells(chain, report))} |", flush=True)


def compressed(config: str, chain: tuple[str, ...], words: tuple[str, ...]) -> Mapping[str, Any]:
    """The report of a chain, by the command; what the command says goes to the error stream."""
    command = (sys.executable, "-P", "-m", "podway.launch.cli", "compress", config, *words)
    process = subprocess.Popen((*command, "--method", *chain), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    page = None
    for line in process.stdout:
        print(line, end="", file=sys.stderr, flush=True)
        if line.startswith("report: "):
            page = pathlib.Path(line.removeprefix("report: ").strip())
    if process.wait() or page is None:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return json.loads(page.with_name("report.json").read_text())


def cells(chain: tuple[str, ...], report: Mapping[str, Any]) -> Iterator[str]:
    """A row of the table."""
    first, last = report["models"][0], report["models"][-1]
    yield " ".join(chain)
    for amount in ("weights_bytes", "disk_bytes", "memory_bytes"):
        known = first[amount] and last[amount]
        yield f"÷ {first[amount] / last[amount]:.2f}" if known else "–"
    yield (
        "–" if last["flops"] is None else f"{last['flops'] / 1e6:.2f} of {first['flops'] / 1e6:.2f}"
    )
    for each in last["latency_ms"].values():
        yield f"× {each['ratio']:.2f}"
    name, quality = next(iter(last["quality"].items()))
    share, spread = 100 / quality["first"], quality["difference"]
    yield f"{name} {quality['first']:.4f} → {quality['value']:.4f}"
    low, high = share * spread["low"], share * spread["high"]
    yield f"{share * spread['mean']:+.1f} % [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
