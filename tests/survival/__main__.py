"""Strikes stages of the chain with faults, at random moments, and says what came of it.

    python -m tests.survival                                  # one moment of every cell
    python -m tests.survival --faults kill term --stages train --moments 50

A moment is: the ground of the stage is laid out, the command is started and struck, and given
again. It passes if the command ended as promised, no artefact that counts as whole is corrupt, and
what there is in the end is what the undisturbed command led to: datasets, losses and parameters
to the last bit.
"""

import argparse
import json
import pathlib
import random
import sys
import tempfile

from podway.launch import console
from tests.survival import promises
from tests.survival.faults import FAULTS, Stopped, StoreGone
from tests.survival.moment import Home
from tests.survival.stages import STAGES


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES))
    parser.add_argument("--moments", type=int, default=1, help="of each cell")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of SIGSTOP, and without a store"
    )
    parser.add_argument("--json", type=pathlib.Path, help="file for all moments")
    parser.add_argument("--keep", action="store_true", help="write the figures into the page")
    options = parser.parse_args()
    Stopped.seconds = StoreGone.seconds = options.seconds
    console.prepare_libraries()
    found, counted = {}, {}
    with tempfile.TemporaryDirectory(prefix="survival-") as folder:
        pathlib.Path(folder).chmod(0o755)
        home = Home(pathlib.Path(folder) / "of")
        for stage in options.stages:
            for name in options.faults:
                try:
                    fault = FAULTS[name]
                    results = [
                        home.strike(STAGES[stage], fault(), random.Random(f"{options.seed} {at}"))
                        for at in range(options.moments)
                    ]
                except LookupError as lacking:
                    print(f"{stage}: {name}: left out, it needs {lacking}", flush=True)
                    continue
                wrong = [each for each in results if each.problem]
                counted[f"{stage}: {name}"] = [len(results) - len(wrong), len(results)]
                found[f"{stage}: {name}"] = [vars(each) for each in results]
                if options.keep:
                    promises.add(counted)
                codes = sorted({each.code for each in results})
                passed = f"{len(results) - len(wrong)}/{len(results)}"
                print(f"{stage}: {name}: {passed}, ended with {codes}", flush=True)
                for each in wrong:
                    print(f"    at {each.at:.2f} s ({each.told}): {each.problem}", flush=True)
    if options.keep:
        promises.PAGE.write_text(promises.written(promises.PAGE.read_text()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 1 if any(good < all_ for good, all_ in counted.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
