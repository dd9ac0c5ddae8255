"""`podway launch dataflow`: the data stage, or the lander, as a Dataflow job."""

import dataclasses
from typing import Annotated

import tyro

from podway.beam.engines.options import Dataflow
from podway.beam.streaming.options import Streaming
from podway.framework.error import check
from podway.launch.verbs.verb import Chain, Verb


@dataclasses.dataclass(frozen=True)
class LaunchDataflow(Chain):
    """An experiment, where its dataset will lie, and how the job runs."""

    dry_run: bool = False
    """Print the job, and submit nothing."""
    template: str = ""
    """gs://BUCKET/FILE: write a classic template there instead of running a job."""
    flex_template: str = ""
    """New folder: write a Flex Template there (Dockerfile of its image, spec) and run nothing."""
    streaming: bool = False
    """The lander instead of the data stage: events from Pub/Sub, for as long as the job runs."""
    source: Annotated[Streaming, tyro.conf.arg(name="")] = Streaming()
    engine: Annotated[Dataflow, tyro.conf.arg(name="")] = Dataflow()


def launch_dataflow(options: LaunchDataflow) -> None:
    """Prints the job, submits it, or writes a template of it."""
    if options.streaming:
        _launch_streaming(options)
        return
    from podway.launch.dataflow import flex_template, submit

    data = options.experiment.data
    if options.dry_run:
        print(submit.describe(data, options.workdir, options.engine))
    elif options.flex_template:
        folder = flex_template.write(data, options.flex_template, options.engine)
        print(f"{folder}: build and push its Dockerfile, and copy template.json to gs://")
    else:
        print(submit.submit(data, options.workdir, options.engine, options.template, options.code))


def _launch_streaming(options: LaunchDataflow) -> None:
    from podway.launch.dataflow import streaming

    check(
        not options.template and not options.flex_template,
        "--streaming has no template; leave --template and --flex-template out",
    )
    job = streaming.job(options.experiment, options.workdir, options.engine, options.source)
    print(streaming.described(job) if options.dry_run else streaming.submitted(job))


VERB = Verb(
    "the data stage as a Dataflow job",
    LaunchDataflow,
    launch_dataflow,
    example="podway launch dataflow CONFIG --dry-run --project P --workdir gs://BUCKET/w",
)
