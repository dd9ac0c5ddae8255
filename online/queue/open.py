"""A queue by its config. Of the kinds only the chosen one's client is imported."""

import dataclasses
import pathlib

from podway.framework.config import online
from podway.online.error import QueueError
from podway.online.queue.queue import Queue


def opened(config: online.Queue, topics: online.Topics, folder: str = "") -> Queue:
    """The queue of a config, open. Raises QueueError where there is none to be had.

    Args:
      config: one of the kinds.
      topics: names; the dead of all topics go to one.
      folder: WORKDIR/online/NAME, where a queue is that names no place.
    """
    match config:
        case online.SqliteQueue():
            from podway.online.queue.sqlite import SqliteLog

            if not config.path:
                if not folder or "://" in folder:
                    raise QueueError(
                        f"queue.path is empty and the workdir is {folder or 'not given'}: give"
                        " queue.path a file on this machine"
                    )
                path = pathlib.Path(folder) / "queue.sqlite"
                config = dataclasses.replace(config, path=str(path))
            queue: Queue = SqliteLog(config, topics.dead)
        case online.KafkaQueue():
            from podway.online.queue.kafka import Kafka

            queue = Kafka(config, topics.dead)
        case online.PubsubQueue():
            from podway.online.queue.pubsub import Pubsub

            queue = Pubsub(config, topics)
        case online.RabbitmqQueue():
            from podway.online.queue.rabbitmq import Rabbitmq

            queue = Rabbitmq(config, topics.dead)
        case _:
            raise QueueError(
                f"online.queue is {type(config).__name__}; choose one of SqliteQueue, KafkaQueue,"
                " PubsubQueue, RabbitmqQueue"
            )
    queue.create(topics.events, topics.partitions)
    queue.create(topics.dead, 1)
    return queue
