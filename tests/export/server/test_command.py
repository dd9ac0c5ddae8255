"""The command line is tensorflow_model_server's."""

import dataclasses
import importlib.metadata
import tomllib

import pytest

from podway.export.server import command
from podway.export.server.error import ServerError
from podway.export.server.options import ANY, OFF, ServerOptions
from tests.export.server.conftest import ROOT

FILE = "--model_config_file=models.config"


def test_flags_as_a_deployment_of_tensorflow_model_server_has_them():
    options = command.parse(
        [
            *(
                "--port=9000",
                "--rest_api_port=9001",
                FILE,
                "--model_config_file_poll_wait_seconds=60",
            ),
            *("--enable_batching=true", "--batching_parameters_file=/b.txt"),
            *("--monitoring_config_file=/m.txt", "--ssl_config_file=/s.txt"),
            *("--allow_version_labels_for_unavailable_models=true", "--enable_model_warmup=false"),
            *("--max_num_load_retries=2", "--load_retry_interval_micros=-1"),
            *("--grpc_socket_path=/run/s", "--grpc_max_threads=8", "--rest_api_num_threads=8"),
            *("--num_load_threads=2", "--num_unload_threads=3", "--rest_api_timeout_in_ms=500"),
            *("--tensorflow_intra_op_parallelism=2", "--tensorflow_inter_op_parallelism=1"),
            *("--file_system_poll_wait_seconds=0", "--xla_cpu_compilation_enabled=true"),
        ]
    )
    assert options == ServerOptions(
        model_config_file="models.config",
        port=9000,
        rest_api_port=9001,
        model_config_file_poll_wait_seconds=60,
        enable_batching=True,
        batching_parameters_file="/b.txt",
        monitoring_config_file="/m.txt",
        ssl_config_file="/s.txt",
        allow_version_labels_for_unavailable_models=True,
        enable_model_warmup=False,
        max_num_load_retries=2,
        load_retry_interval_micros=-1,
        grpc_socket_path="/run/s",
        grpc_max_threads=8,
        rest_api_num_threads=8,
        num_load_threads=2,
        num_unload_threads=3,
        rest_api_timeout_in_ms=500,
        tensorflow_intra_op_parallelism=2,
        tensorflow_inter_op_parallelism=1,
        file_system_poll_wait_seconds=0,
    )


@pytest.mark.parametrize(
    ("arguments", "on"),
    [
        (["--enable_batching"], True),
        (["--enable_batching", "--port", "1"], True),
        (["--enable_batching", "true"], True),
        (["--enable_batching=True"], True),
        (["--enable_batching=1"], True),
        (["--enable_batching=false"], False),
        (["--enable_batching", "false"], False),
        (["--enable_batching=0"], False),
        (["--enable-batching=true"], True),
    ],
)
def test_every_spelling_of_a_boolean(arguments, on):
    assert command.parse([FILE, *arguments]).enable_batching is on


def test_values_may_follow_in_an_argument_of_their_own():
    options = command.parse(["--model_name", "m", "--model_base_path", "/models/m", "--port", "9"])
    assert (options.model_name, options.model_base_path, options.port) == ("m", "/models/m", 9)


def test_an_unknown_flag_names_a_near_one(capsys):
    with pytest.raises(SystemExit) as stop:
        command.parse([FILE, "--enable_batchin=true"])
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert "--enable_batching" in said.out + said.err


def test_help_explains_every_flag_in_groups(capsys):
    with pytest.raises(SystemExit) as stop:
        command.parse(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    for field in dataclasses.fields(ServerOptions):
        assert f"--{field.name} " in said
    assert said.index("--model_config_file ") < said.index("--port ") < said.index("No effect")


def test_the_console_script_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    script = importlib.metadata.EntryPoint(
        "server", project["scripts"]["podway-model-server"], "console_scripts"
    )
    assert script.load() is command.main


def test_the_version(capsys):
    command.main(["--version"])
    assert "TensorFlow 2." in capsys.readouterr().out


@pytest.mark.parametrize("flag", command.REFUSED)
def test_flags_that_would_change_something_are_refused_with_a_remedy(flag):
    with pytest.raises(ServerError, match=f"--{flag} is not supported: "):
        command.parse([FILE, f"--{flag}=1"])
    assert command.parse([FILE, f"--{flag}=false"]) == command.parse([FILE])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --model_config_file or --model_base_path"),
        (["--model_base_path=/m", "--model_name="], "model_name is empty"),
        ([FILE, "--enable_batching=maybe"], "enable_batching is 'maybe'; give true or false"),
        (
            [FILE, "--batching_parameters_file=b"],
            "batching_parameters_file needs --enable_batching",
        ),
        ([FILE, "--enable_per_model_batching_parameters"], "needs --enable_batching"),
        ([FILE, "--port=-1"], "port is -1; give 1 to 65535, 0 for none, or any"),
        ([FILE, "--port=0", "--rest_api_port=0"], "give one of them"),
        ([FILE, "--port=0"], "give one of them"),
        ([FILE, "--port=5", "--rest_api_port=5"], "both 5"),
        ([FILE, "--enable_model_management"], "enable_model_management needs --grpc_socket_path"),
        ([FILE, "--monitoring_config_file=m"], "monitoring_config_file needs --rest_api_port"),
        ([FILE, "--model_root=/models"], "model_root needs --enable_model_management"),
        ([FILE, "--max_num_load_retries=-1"], "max_num_load_retries is -1; give 0 or more"),
        ([FILE, "--rest_api_timeout_in_ms=0"], "rest_api_timeout_in_ms is 0; give 1 or more"),
        ([FILE, "--max_batch_size=0"], "max_batch_size is 0"),
        ([FILE, "--max_request_rows=0"], "max_request_rows is 0; give 1 or more"),
        ([FILE, "--max_connections=-5"], "max_connections is -5; give 1 or more"),
        ([FILE, "--drain_seconds=-1"], "drain_seconds is -1"),
        ([FILE, "--model_config_file_poll_wait_seconds=-1"], "poll_wait_seconds is -1"),
        ([FILE, "--saved_model_tags=tpu,serve"], 'give "serve"'),
        ([FILE, "--per_process_gpu_memory_fraction=2"], "give 0 to 1"),
        (
            [FILE, "--tensorflow_session_parallelism=2", "--tensorflow_intra_op_parallelism=2"],
            "stands for",
        ),
    ],
)
def test_values_that_cannot_be_used_are_one_sentence(arguments, said):
    with pytest.raises(ServerError, match=said) as raised:
        command.parse(arguments)
    assert "\n" not in str(raised.value)


def test_nothing_is_open_that_was_not_asked_for():
    options = command.parse([FILE])
    assert (options.host, options.port, options.rest_api_port) == ("127.0.0.1", 8500, OFF)
    assert not options.enable_model_management
    options = command.parse([FILE, "--port=0", "--rest_api_port=8501"])
    assert (options.port, options.rest_api_port) == (OFF, 8501)
    options = command.parse([FILE, "--port=any", "--rest_api_port", "any"])
    assert (options.port, options.rest_api_port) == (ANY, ANY)
    only = command.parse([FILE, "--port=0", "--grpc_socket_path=/run/s"])
    assert (only.port, only.rest_api_port) == (OFF, OFF)
