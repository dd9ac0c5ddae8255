"""New events alone, compared with the dataset before them.

Such an increment is a dataset with every value of a few days, and short histories. Of the earlier
one, rare values may have been left out, by a k-core or a limit. So its ids are counted as the
earlier vocabulary would have them; of its splits only train is compared, which holds most events;
and how long histories are is not.
"""

from collections.abc import Mapping
from typing import Any

from podway.beam.statistics import ids


def as_known(
    statistics: Mapping[str, Any], counts: Mapping[str, int], known: Mapping[str, int]
) -> dict[str, Any]:
    """Statistics of ids, as if they had the vocabulary of another dataset.

    Args:
      statistics: of a feature, as statistics.json has them.
      counts: value → how often the feature's vocabulary says that it occurs.
      known: the values of the other vocabulary.
    """
    inside = {value: count for value, count in counts.items() if value in known}
    listed = sum(counts.values())
    return {
        **statistics,
        "top": [[0, value, count] for value, count in inside.items()],
        "rest": {**statistics["rest"], "buckets": [0] * ids.BUCKETS},
        "out_of_vocabulary": statistics["out_of_vocabulary"] + listed - sum(inside.values()),
    }
