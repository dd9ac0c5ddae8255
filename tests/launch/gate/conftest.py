"""A gate, an experiment that has it, and the command."""

import dataclasses
import pathlib
from collections.abc import Callable

import pytest

from podway.framework.config import (
    DataCheck,
    Experiment,
    Gate,
    Latency,
    NotWorse,
    Size,
    Within,
)
from tests.launch import world

GATE = Gate(
    rules=(
        NotWorse("ndcg@10", margin=0.4, relative=False),
        NotWorse("hr@10", margin=0.5, relative=False, slice="target tail"),
        NotWorse("hr@10", margin=0.5, relative=False, slice="history short"),
        Within("coverage@10", low=0.1),
        Latency(batch_size=4, percentile=50, ratio=20.0),
        Size(ratio=2.0),
        DataCheck(),
    ),
    least_users=10,
    calls=5,
)
"""Which the second version passes: with some sixty users little can be told."""


def second(folder: pathlib.Path, gate: Gate = GATE) -> Experiment:
    shop = world.shop(folder)
    trainer = dataclasses.replace(shop.trainer, steps=45, evaluate_every=45, checkpoint_every=45)
    export = dataclasses.replace(shop.export, candidate_filter=False)
    return dataclasses.replace(shop, trainer=trainer, export=export, gate=gate)


@pytest.fixture
def podway_command(capsys) -> Callable[..., tuple[int, str]]:
    """Runs the command in this process: exit code, and what it says."""
    from podway.launch import cli

    def run(*arguments: str) -> tuple[int, str]:
        try:
            cli.main([str(each) for each in arguments])
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        said = capsys.readouterr()
        assert isinstance(code, int)
        return code, said.out + said.err

    return run
