"""Metrics of continuous training, from the record of its cycles."""

import collections
import datetime

from etils import epath

from podway.launch.loop import record
from podway.launch.monitor.alerts import catalogue
from podway.launch.monitor.alerts.catalogue import Samples, chosen, one

UNDER_WAY = "under way"
OUTCOMES = ("served", "stopped", "unchanged", UNDER_WAY)


def samples(workdir: epath.PathLike, experiment: str) -> Samples:
    """All of them; none where there was no cycle. Raises RecordError."""
    home = record.folder(experiment, workdir)
    cycles = record.cycles(home)
    if not cycles:
        return []
    counts = collections.Counter(each.outcome or UNDER_WAY for each in cycles)
    ended = {each.outcome: each.ended for each in cycles if each.ended}  # the last of each
    over = [each.outcome for each in cycles if each.outcome]
    made = [
        sample
        for outcome in OUTCOMES
        for sample in one(catalogue.LOOP_CYCLES, (experiment, outcome), counts[outcome])
    ]
    if over:
        made += chosen(catalogue.LOOP_LAST, (experiment,), OUTCOMES[:-1], over[-1])
    for outcome, when in ended.items():
        moment = datetime.datetime.fromisoformat(when).timestamp()
        made += one(catalogue.LOOP_ENDED, (experiment, outcome), moment)
    return made + one(catalogue.LOOP_ASIDE, (experiment,), len(record.asides(home)))
