"""A nearline service in a process of its own, for tests that kill it."""

import json
import sys

from prometheus_client.registry import CollectorRegistry

from podway.framework import codec
from podway.framework.config import online as config
from podway.online.nearline import run
from podway.online.service import stop

if __name__ == "__main__":
    chosen = codec.from_json(config.Online, json.loads(sys.argv[1]))
    with stop.asked() as asked:
        print("begun", flush=True)
        run.run(run.Options(chosen, "shop", sys.argv[2]), asked, CollectorRegistry())
