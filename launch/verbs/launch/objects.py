"""Objects that are applied and then left to the cluster: printed, or asked about and applied."""

import dataclasses
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from podway.framework.error import ConfigError, check


@dataclasses.dataclass(frozen=True)
class Applying:
    """Whether and how objects are applied."""

    dry_run: bool = False
    """Print the plan and the objects, and apply nothing. Asks no cluster."""
    output: str = ""
    """With --dry-run: folder to write the objects to, a file each."""
    yes: bool = False
    """Don't ask."""

    def __post_init__(self):
        check(not self.output or self.dry_run, "--output goes with --dry-run")


def settle(
    options: Any, objects: Sequence[dict[str, Any]], plan: str, missing: list[str], context: str
) -> None:
    """Prints the objects, or the plan and applies them. Raises ConfigError, LaunchError.

    Args:
      options: Applying.
      objects: that fit together.
      plan: what is said of them.
      missing: what must be mended before.
      context: of the kubeconfig.
    """
    from podway.launch.targets.kubernetes import yaml_text

    if missing:
        lines = ["before this can be applied:", *(f"  - {each}" for each in missing)]
        plan = "\n".join([plan, *lines])
    if options.dry_run:
        if options.output:
            print(f"{options.output}: {len(yaml_text.write(objects, options.output))} objects")
        else:
            print(yaml_text.of(objects), end="")
        print(plan, file=sys.stderr, flush=True)
        sys.exit(1 if missing else 0)
    print(plan, flush=True)
    if missing:
        raise ConfigError(f"nothing is applied: {missing[0]}")
    _apply(options, objects, context)


def agreed(options: Any, question: str) -> bool:
    """Whether --yes was given, or a person says so."""
    if options.yes:
        return True
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _apply(options: Any, objects: Sequence[dict[str, Any]], context: str) -> None:
    """A namespace's objects at once, all or none; those of no namespace with the first.

    Of several namespaces all are tried before anything is applied in one.
    """
    from podway.launch.targets.error import LaunchError
    from podway.launch.targets.kubernetes.cluster import Cluster

    if not agreed(options, "apply them?"):
        raise LaunchError("nothing is applied; --yes applies without asking")
    parts = [
        (Cluster(space, context), list(part))
        for space, part in itertools.groupby(objects, _space(objects))
    ]
    if len(parts) > 1:
        for cluster, part in parts:
            cluster.apply(part, dry_run=True)
    for cluster, part in parts:
        for each in cluster.apply(part):
            print(f"made {each}")


def _space(objects: Sequence[dict[str, Any]]) -> Callable[[dict[str, Any]], str]:
    """Object → the namespace with which it is applied."""
    spaces = [each["metadata"].get("namespace") for each in objects]
    first = next(filter(None, spaces), "default")

    def of(each: dict[str, Any]) -> str:
        if each["kind"] == "Namespace":
            return each["metadata"]["name"]
        return each["metadata"].get("namespace", first)

    return of
