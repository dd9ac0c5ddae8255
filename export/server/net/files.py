"""How many files, and so connections, the process may have open."""

import logging
import resource

log = logging.getLogger(__name__)

_OWN = 1024
"""Files that are no connections: of models, logs, threads and libraries."""


def raise_limit() -> int:
    """Raises the soft limit to the hard one; returns what holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # unlimited is more than a kernel may grant
            log.warning("the limit of open files stays %d: %s", soft, error)
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections(wanted: int, limit: int) -> int:
    """Connections that each of two APIs may have, of those that are wanted, under this limit."""
    if limit == resource.RLIM_INFINITY:
        return wanted
    most = min(wanted, max(limit // 4, (limit - _OWN) // 2))
    if most < wanted:
        log.info(
            "%d connections for each API, not %d (--max_connections): %d files may be open",
            most,
            wanted,
            limit,
        )
    return most
