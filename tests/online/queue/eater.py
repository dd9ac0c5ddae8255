"""A consumer process that ends by kill -9 when it meets poison.

usage: python -m tests.online.queue.eater FILE      FILE: a pickled (config, topics, batch)
"""

import os
import pathlib
import pickle
import signal
import sys

from podway.online.queue import open as queues


def main(file: str) -> None:
    """Reads until there is nothing for a while; says what it took in."""
    config, topics, batch = pickle.loads(pathlib.Path(file).read_bytes())
    consumer = queues.opened(config, topics).consumer("eaters", topics.events)
    print("begun", flush=True)
    while True:
        found = consumer.poll(batch, 30)
        for message in found:
            if b"poison" in message.value:
                os.kill(os.getpid(), signal.SIGKILL)
            print("ate", message.value.decode(), flush=True)
        if not found:
            return
        consumer.commit(found)


if __name__ == "__main__":
    main(sys.argv[1])
