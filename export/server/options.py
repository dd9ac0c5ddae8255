"""The server's options: tensorflow_model_server's flags, and some of our own (host, workers,
max_batch_size, request_log_config_file, and all of LimitOptions).

Where a default or a meaning differs from tensorflow_model_server's, the option says so.
"""

import dataclasses
from typing import Literal

from podway.export.server.error import ServerError

OFF = 0
"""A port that is not listened on, as in tensorflow_model_server."""
ANY = "any"
"""A port of the system's choice, one that is free."""
Port = int | Literal["any"]


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Which models to serve."""

    model_config_file: str = ""
    """Text proto ModelServerConfig: which models and versions to serve. Or give
    --model_base_path."""
    model_name: str = "default"
    """Name of the one model in --model_base_path."""
    model_base_path: str = ""
    """Folder of the versions of one model, whose latest version is served; without
    --model_config_file."""
    model_config_file_poll_wait_seconds: float = 1.0
    """Seconds between two looks at the config file; 0: it is read at the start alone
    (tensorflow_model_server's default: here a publisher's change is followed by itself)."""
    file_system_poll_wait_seconds: float = 1.0
    """Seconds between two looks for new versions; 0: only when the config changes."""
    allow_version_labels_for_unavailable_models: bool = False
    """Let a label that is not in use be given to a version that is not available yet. Labels of a
    model that is new in the config may always wait for their version."""
    saved_model_tags: str = "serve"
    """Tags of the graph in a SavedModel; there is "serve" alone."""


@dataclasses.dataclass(frozen=True)
class ListenOptions:
    """Where to listen, and to whom."""

    host: str = "127.0.0.1"
    """Address to listen on, for both APIs; 0.0.0.0 for all interfaces, as tensorflow_model_server
    does."""
    port: Port = 8500
    """Port of gRPC; 0: none; any: one that is free."""
    workers: int = 1
    """Processes that share the ports, each with the models in memory and queues of its own. A
    connection is served by one of them: a client of several connections gains."""
    grpc_socket_path: str = ""
    """Unix socket for gRPC, beside the port."""
    ssl_config_file: str = ""
    """Text proto SSLConfig: gRPC and REST by TLS alone, both with client certificates if
    client_verify (tensorflow_model_server leaves REST in clear text)."""
    grpc_channel_arguments: str = ""
    """Settings of the gRPC server, KEY=VALUE[,KEY=VALUE]: grpc.max_connection_age_ms=2000."""
    rest_api_port: Port = OFF
    """Port of REST; 0: none; any: one that is free."""
    rest_api_timeout_in_ms: int = 30_000
    """Milliseconds after which a REST request is answered by 504."""
    rest_api_enable_cors_support: bool = False
    """Let pages of any origin call REST: Access-Control-Allow-Origin is *, and OPTIONS is
    answered."""
    monitoring_config_file: str = ""
    """Text proto MonitoringConfig: whether, and under which path of the REST port, Prometheus
    finds metrics."""
    request_log_config_file: str = ""
    """Text proto RequestLogConfig: where, and of which share of the requests, inputs and answers
    are logged, for `podway monitor`; without it none are."""


@dataclasses.dataclass(frozen=True)
class ManagementOptions:
    """What clients may change."""

    enable_model_management: bool = False
    """Let clients replace the config of models (HandleReloadConfigRequest), over
    --grpc_socket_path, or by mutual TLS (tensorflow_model_server lets every client)."""
    model_root: str = ""
    """Folder, or gs:// prefix, below which the models of a client's config have to lie; without it
    the folder of --model_config_file, or the one that holds --model_base_path."""


@dataclasses.dataclass(frozen=True)
class BatchingOptions:
    """How requests share a run of the model."""

    enable_batching: bool = False
    """Merge requests as --batching_parameters_file says. Without it requests are merged that queue
    up while the model runs, and none waits."""
    batching_parameters_file: str = ""
    """Text proto BatchingParameters; without one max_batch_size 1000 and no waiting."""
    enable_per_model_batching_parameters: bool = False
    """Take the parameters, but for the threads, from a version's batching_params.pbtxt; a version
    without one is served as without --enable_batching."""
    max_batch_size: int = 64
    """Without --enable_batching: most rows that share a run of the model; 1: each request runs
    alone."""


@dataclasses.dataclass(frozen=True)
class LimitOptions:
    """What a request, a connection and the stop may cost."""

    max_request_bytes: int = 64 << 20
    """Most bytes of a request, once it is decompressed."""
    max_request_rows: int = 16_384
    """Most rows of a request."""
    max_request_elements: int = 1 << 20
    """Most values of a request that are written one by one: of JSON, and of a message's repeated
    fields. A tensor's tensor_content is bounded by the bytes alone."""
    max_request_ratio: int = 100
    """Bytes that a byte of a compressed REST body may become, where that is more than 1 MiB."""
    max_pending_bytes: int = 1 << 30
    """Most bytes of REST bodies above 64 KiB that are in memory at once; others get 429."""
    max_connections: int = 16_384
    """Most connections of each API; fewer where the limit of open files asks for it. Beyond them
    REST ends the one that has been idle longest, gRPC refuses new ones."""
    rest_api_header_timeout_in_ms: int = 10_000
    """Milliseconds in which the head of a REST request has to come, from its first byte on."""
    rest_api_idle_timeout_in_ms: int = 620_000
    """Milliseconds after which a REST connection without a request is ended. Longer than a load
    balancer keeps one (600 s on Google Cloud), lest it send into one that has just ended."""
    drain_seconds: float = 30.0
    """Seconds that requests in flight have when the server is told to stop; then it exits."""


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """How versions come and go."""

    enable_model_warmup: bool = True
    """Replay a version's warm-up requests before it serves."""
    max_num_load_retries: int = 5
    """How often a version that cannot be loaded or warmed is tried again."""
    load_retry_interval_micros: int = 60_000_000
    """Microseconds between two tries; below 0: none."""
    num_load_threads: int = 0
    """Versions that are loaded at once; 0: at the start as many as processors, then 1
    (tensorflow_model_server: at the start always four times the processors)."""
    verify_models_with: str = ""
    """File of a public key (`podway keys`, or minisign's): a version is loaded only if it is signed
    by that key, and as it was signed (`podway sign`)."""
    xla_cache_directory: str = ""
    """Folder of this user's in which compiled programs are kept from one start to the next, so
    that a warm-up need not compile them again; without it each start compiles."""
    num_unload_threads: int = 0
    """Versions that are unloaded at once; 0 is 1."""


@dataclasses.dataclass(frozen=True)
class TensorFlowOptions:
    """What TensorFlow may take."""

    tensorflow_session_parallelism: int = 0
    """Threads of TensorFlow, within an op and for ops each; 0: as many as processors."""
    tensorflow_intra_op_parallelism: int = 0
    """Threads that share one op; 0: as many as processors."""
    tensorflow_inter_op_parallelism: int = 0
    """Threads that run ops side by side; 0: as many as processors. Small ops run in the request's
    own thread."""
    tensorflow_session_config_file: str = ""
    """Text proto ConfigProto: TensorFlow's settings of every session."""
    per_process_gpu_memory_fraction: float = 0.0
    """Share of a GPU's memory that is taken, 0 to 1; 0: TensorFlow decides."""


@dataclasses.dataclass(frozen=True)
class UnusedOptions:
    """Flags of tensorflow_model_server that are accepted and have no effect."""

    rest_api_num_threads: int = 0
    """No effect: REST needs no threads of its own."""
    grpc_max_threads: int = 0
    """No effect: gRPC needs no threads of its own."""
    xla_cpu_compilation_enabled: bool = True
    """No effect: XLA is always there."""
    xla_gpu_compilation_enabled: bool = True
    """No effect: XLA is always there."""
    enable_grpc_healthcheck_service: bool = True
    """No effect: grpc.health.v1 is always there."""
    flush_filesystem_caches: bool = True
    """No effect."""
    remove_unused_fields_from_bundle_metagraph: bool = True
    """No effect."""
    enable_profiler: bool = False
    """No effect: there is no profiler."""


@dataclasses.dataclass(frozen=True)
class ServerOptions(
    UnusedOptions,
    TensorFlowOptions,
    LoadOptions,
    LimitOptions,
    BatchingOptions,
    ManagementOptions,
    ListenOptions,
    ModelOptions,
):
    """All of them, in one."""

    def __post_init__(self):
        if not (self.model_config_file or self.model_base_path):
            raise ServerError("give --model_config_file or --model_base_path")
        if not self.model_config_file and not self.model_name:
            raise ServerError("model_name is empty; give the name by which requests ask")
        for field in ("port", "rest_api_port"):
            if getattr(self, field) != ANY:
                self._check(field, OFF, 65535, "give 1 to 65535, 0 for none, or any")
        if self.port == OFF and not self.grpc_socket_path and self.rest_api_port == OFF:
            raise ServerError(
                "port and rest_api_port are 0: give one of them, or --grpc_socket_path"
            )
        if self.workers > 1 and self.grpc_socket_path:
            raise ServerError(
                "grpc_socket_path cannot be shared by workers; give --port, or leave out --workers"
            )
        if self.port == self.rest_api_port and self.port not in (OFF, ANY):
            raise ServerError(f"port and rest_api_port are both {self.port}; give each its own")
        for field in (
            "model_config_file_poll_wait_seconds",
            "file_system_poll_wait_seconds",
            "max_num_load_retries",
            "num_load_threads",
            "num_unload_threads",
            "tensorflow_session_parallelism",
            "tensorflow_intra_op_parallelism",
            "tensorflow_inter_op_parallelism",
            "drain_seconds",
        ):
            self._check(field, 0, float("inf"), "give 0 or more")
        limits = tuple(
            field.name
            for field in dataclasses.fields(LimitOptions)
            if field.name != "drain_seconds"
        )
        for field in ("workers", "max_batch_size", "rest_api_timeout_in_ms", *limits):
            self._check(field, 1, float("inf"), "give 1 or more")
        self._check("per_process_gpu_memory_fraction", 0, 1, "give 0 to 1")
        if not self.enable_batching:
            for field in ("batching_parameters_file", "enable_per_model_batching_parameters"):
                if getattr(self, field):
                    raise ServerError(f"{field} needs --enable_batching=true")
        if self.tensorflow_session_parallelism and (
            self.tensorflow_intra_op_parallelism or self.tensorflow_inter_op_parallelism
        ):
            raise ServerError(
                "tensorflow_session_parallelism stands for tensorflow_intra_op_parallelism and"
                " tensorflow_inter_op_parallelism together; give it, or those two"
            )
        if self.saved_model_tags != "serve":
            raise ServerError(f'saved_model_tags is {self.saved_model_tags!r}; give "serve"')
        if self.monitoring_config_file and self.rest_api_port == OFF:
            raise ServerError(
                "monitoring_config_file needs --rest_api_port: metrics are a page of REST"
            )
        if self.enable_model_management and not (self.grpc_socket_path or self.ssl_config_file):
            raise ServerError(
                "enable_model_management needs --grpc_socket_path, or --ssl_config_file with"
                " client_verify: who may change what is served has to be known"
            )
        if self.model_root and not self.enable_model_management:
            raise ServerError("model_root needs --enable_model_management")

    def _check(self, field: str, least: float, most: float, remedy: str) -> None:
        value = getattr(self, field)
        if not least <= value <= most:
            raise ServerError(f"{field} is {value}; {remedy}")
