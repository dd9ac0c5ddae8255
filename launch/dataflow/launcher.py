"""The launcher of a Dataflow Flex Template: builds the job in Google's launcher container.

    python -m podway.launch.dataflow.launcher --data=DATA.json --workdir=gs://BUCKET/FOLDER [BEAM'S]

Needs no experiment's model, so no JAX: the data part comes as JSON. It never waits: the launcher
container ends when the job is created, and the job commits its dataset itself.
"""

import argparse
import dataclasses
import json
import logging
import sys

from etils import epath

from podway.beam import dataset
from podway.framework import codec
from podway.framework.config import Data
from podway.framework.error import PodwayError


def main(arguments: list[str] | None = None) -> None:
    """Creates the job; exits with 1 and a sentence where a user must mend something."""
    from apache_beam.options.pipeline_options import PipelineOptions

    from podway.beam.engines import dataflow, run

    logging.basicConfig(level=logging.INFO)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--data", required=True, help="file with the experiment's data part, JSON")
    parser.add_argument("--workdir", required=True, help="gs://BUCKET/FOLDER of datasets/")
    parser.add_argument("--input", default="", help="raw files, instead of the data part's path")
    ours, beams = parser.parse_known_args(arguments)
    try:
        data = codec.from_json(Data, json.loads(epath.Path(ours.data).read_text()), "data")
        if ours.input:
            data = dataclasses.replace(data, path=ours.input)
        plan = dataset.prepare(data, ours.workdir)
        # What the launcher container says comes later, and wins.
        options = PipelineOptions(["--sdk_location=container", *beams])
        run.assemble(plan, dataflow.runner(), options).run()
    except PodwayError as error:
        sys.exit(f"podway: error: {error}")
    print(f"the job will write {plan.target}")


if __name__ == "__main__":
    main()
