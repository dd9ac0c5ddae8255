"""What a message in RabbitMQ says of itself."""

import time

from aio_pika.abc import AbstractIncomingMessage

KEY, SENT = "podway-key", "podway-sent"
"""Headers: the key, and seconds since 1970 when it was published, as AMQP's own are whole."""


def published(message: AbstractIncomingMessage) -> float:
    """Seconds since 1970."""
    try:
        return float(str(message.headers.get(SENT)))
    except ValueError:
        return message.timestamp.timestamp() if message.timestamp else time.time()
