"""The queue that joins the services: which one, and where it is."""

import dataclasses

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Queue:
    """Where events wait. Choose one of its kinds."""

    attempts: int = 5
    """Deliveries of a message that is not taken in, before it goes to the dead ones."""
    retry_seconds: float = 1.0
    """From a delivery that failed to the next one; twice as long after each, a minute at most."""
    publish_seconds: float = 30.0
    """That a publish waits for a queue that is full or away, before it fails."""

    def __post_init__(self):
        check(1 <= self.attempts <= 100, f"queue.attempts is {self.attempts}; give 1 to 100")
        for name in ("retry_seconds", "publish_seconds"):
            value = getattr(self, name)
            check(0 < value < 3600, f"queue.{name} is {value}; give more than 0, less than 3600")


@dataclasses.dataclass(frozen=True)
class SqliteQueue(Queue):
    """A file on this machine: no server. One machine, one writer at a time."""

    path: str = ""
    """The file; "": WORKDIR/online/NAME/queue.sqlite."""
    lease_seconds: float = 10.0
    """A consumer that neither polls nor commits for so long is taken for dead. One whose process
    ended is noticed at once."""
    most_waiting: int = 1_000_000
    """Messages of a topic that its slowest group has not read; then a publish waits, and fails."""
    keep_hours: float = 168.0
    """That what every group has read is kept, to be read again."""
    durable: bool = True
    """Whether a publish waits for the disk, so that it outlasts a power cut; else it outlasts the
    end of any process, no more."""

    def __post_init__(self):
        super().__post_init__()
        check("://" not in self.path, f"queue.path is {self.path!r}; give a file on this machine")
        for name in ("lease_seconds", "most_waiting", "keep_hours"):
            value = getattr(self, name)
            check(value > 0, f"queue.{name} is {value}; give more than 0")


@dataclasses.dataclass(frozen=True)
class KafkaQueue(Queue):
    """Kafka, or what speaks as it does. Needs podway[kafka]."""

    servers: str = ""
    """HOST:PORT,HOST:PORT: some of its brokers; they name the others."""
    settings_file: str = ""
    """A file of lines NAME=VALUE for the client: security.protocol, sasl.username, and so on. So
    secrets stand in no config. "": none."""
    replication: int = 0
    """Brokers that keep a topic that is created; 0: as many as the brokers' own setting says."""
    session_seconds: float = 10.0
    """A consumer that is silent for so long is taken for dead."""

    def __post_init__(self):
        super().__post_init__()
        check(self.replication >= 0, f"queue.replication is {self.replication}; give 0 or more")
        check(
            self.session_seconds >= 6,
            f"queue.session_seconds is {self.session_seconds}; give 6, the brokers' least, or more",
        )


@dataclasses.dataclass(frozen=True)
class PubsubQueue(Queue):
    """Google's Pub/Sub. Needs podway[pubsub]; PUBSUB_EMULATOR_HOST names an emulator."""

    project: str = ""
    """Of Google Cloud."""
    ack_seconds: int = 60
    """That a message which is not committed is left to its consumer, who asks for more while it
    lives."""
    keep_hours: float = 24.0
    """That what a group has done is kept, to be read again; 744 at most."""

    def __post_init__(self):
        super().__post_init__()
        check(
            10 <= self.ack_seconds <= 600,
            f"queue.ack_seconds is {self.ack_seconds}; give 10 to 600, as Pub/Sub does",
        )
        check(
            1 / 6 <= self.keep_hours <= 744,
            f"queue.keep_hours is {self.keep_hours}; give 1/6 to 744, as Pub/Sub does",
        )


@dataclasses.dataclass(frozen=True)
class RabbitmqQueue(Queue):
    """RabbitMQ, 3.10 or later: a quorum queue for each group and partition, or a stream for each
    partition. Needs podway[rabbitmq]."""

    url: str = ""
    """amqp://HOST:PORT/VHOST; user and password by url_env."""
    url_env: str = ""
    """Name of an environment variable that holds the whole address, so that no secret stands in a
    config; "": `url` is it."""
    most_waiting: int = 1_000_000
    """Messages of a partition that a group has not read; then a publish waits, and fails."""
    prefetch: int = 1000
    """Messages that a consumer has in its hands at a time."""
    keep_hours: float = 0.0
    """0: quorum queues, which forget what is done. Else streams that keep what is published so
    long, to be read again; `most_waiting` says nothing then, and a group that is behind by more
    loses it. Once there are queues it stays as it is."""

    def __post_init__(self):
        super().__post_init__()
        check(
            0 <= self.keep_hours < float("inf"),
            f"queue.keep_hours is {self.keep_hours}; give 0, or hours",
        )
        for name in ("most_waiting", "prefetch"):
            value = getattr(self, name)
            check(value >= 1, f"queue.{name} is {value}; give 1 or more")
        check(self.prefetch < 65_536, f"queue.prefetch is {self.prefetch}; give less than 65536")


@dataclasses.dataclass(frozen=True)
class Topics:
    """Names of the topics, and how wide they are."""

    events: str = "events"
    """What users do, and what they were shown."""
    dead: str = "events-dead"
    """What could not be taken in, each with the reason."""
    partitions: int = 4
    """Of a topic that is created; events of one user are in one of them, in order."""

    def __post_init__(self):
        check(self.partitions >= 1, f"topics.partitions is {self.partitions}; give 1 or more")
        check(self.events != self.dead, f"topics.dead is {self.dead!r}, as topics.events; give two")
        for name in ("events", "dead"):
            value = getattr(self, name)
            letters = value.replace("_", "").replace("-", "").replace(".", "")
            check(
                3 <= len(value) <= 200
                and value.isascii()
                and letters.isalnum()
                and letters[0:1] == value[0:1]
                and value[0].isalpha(),
                f"topics.{name} is {value!r}; give 3 to 200 letters, digits, '.', '_' and '-', a"
                " letter first",
            )
