"""How the command ends: every verb alike, and as the page says."""

import errno
import os
import pathlib
import re
import signal
import subprocess
import time

import jax
import polars
import pytest
from array_record.python.array_record_module import ArrayRecordWriter

from podway.framework import exit_codes, termination
from podway.framework.error import ConfigError
from podway.framework.runs.lock import LockedError
from podway.launch import cli, options, stages
from tests import forked, gcs, xla
from tests.launch.test_supervise import SHOP

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "exit_codes.md"
FULL = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")


def ended(monkeypatch, capsys, name: str, error: BaseException | None) -> tuple[int, str]:
    """Exit code and what is said, of a verb in which an error comes up; None: a SIGTERM comes."""

    def read(*_: object) -> None:
        if error is None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        else:
            raise error

    monkeypatch.setattr(options, "read", read)
    monkeypatch.setattr(options, "located", lambda error, *_: str(error))
    of = cli.VERBS[name].of.replace("CONFIG", "movielens_sasrec").replace("…", "").split()
    with pytest.raises(SystemExit) as end:
        cli.main([*name.split(" ", 1 if name.startswith("launch") else -1), *of])
    said = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, said.out + said.err


@pytest.mark.parametrize("name", [name for name in cli.VERBS if "--" not in name])
def test_every_verb_ends_alike(monkeypatch, capsys, name):
    for error, code, said in (
        (ConfigError("trainer.steps is 0"), 1, "podway: error: trainer.steps is 0"),
        (RuntimeError("a bug"), 70, "Traceback"),
        (KeyboardInterrupt(), 130, "podway: error: interrupted"),
        (stages.Stopped("saved at step 5"), 42, "podway: saved at step 5"),
        (None, 42, "ended at SIGTERM"),
    ):
        found, text = ended(monkeypatch, capsys, name, error)
        assert found == code, text
        assert said in text


def without_words(number: int) -> OSError:
    """As a library raises it that sets the number afterwards."""
    error = OSError("it could not be written")
    error.errno = number
    return error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "workdir/x"), 1, "the disk is full"),
        (without_words(errno.ENOSPC), 1, "the disk is full (No space left on device)"),
        (FileNotFoundError("gs://bucket/x"), 1, "gs://bucket/x"),
        (OSError(errno.EIO, "Input/output error", "x"), 70, "Input/output error"),
        (ConnectionResetError("reset by peer"), 70, "reset by peer"),
        (LockedError("the run is being trained"), 75, "the run is being trained"),
        (
            OSError("Forbidden: b/x\nyou may not."),
            1,
            "Forbidden: b/x you may not; grant the account",
        ),
        (OSError("Google Cloud Storage: 403 GET http://x: no"), 1, "no; grant the account"),
        (OSError("Google Cloud Storage: 503 GET http://x: 403 "), 70, "503"),
        (ValueError("PERMISSION_DENIED: Error writing gs://b/x"), 1, "PERMISSION_DENIED"),
        (FULL, 1, "lower trainer.batch_size"),
        (MemoryError(), 70, "MemoryError"),
    ],
)
def test_the_code_says_whether_another_try_may_help(monkeypatch, capsys, error, code, said):
    found, text = ended(monkeypatch, capsys, "evaluate", error)
    assert found == code
    assert said in text
    assert exit_codes.ending(code).restart is (code != 1)


def test_the_page_has_the_table():
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (\w+) \|$", PAGE.read_text(), re.MULTILINE)
    answers = {
        code: "no" if not ending.restart else "yes" if ending.counted else "free"
        for code, ending in exit_codes.ENDINGS.items()
    }
    assert {int(code): answer for code, _, answer in rows} == answers
    for code, meaning, _ in rows:
        assert meaning.startswith(exit_codes.ENDINGS[int(code)].meaning)
    assert exit_codes.HOPELESS == (1, 2, 3, 130, 141)


def shop(folder: pathlib.Path, events: int) -> pathlib.Path:
    """A config over so many events; reading two millions takes a while."""
    rows = (f"u{row % (events // 40)},i{row * 7 % 997},{row}" for row in range(events))
    (folder / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    (folder / "shop.py").write_text(SHOP.format(path=folder / "events.csv"))
    return folder / "shop.py"


def test_sigterm_in_the_data_stage_ends_it_and_leaves_nothing(tmp_path):
    config, workdir = str(shop(tmp_path, 2_000_000)), str(tmp_path / "w")
    process = forked.Popen(
        ("podway.launch.cli", "data", config, "--workdir", workdir),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline().startswith("data: building")
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == exit_codes.PREEMPTED, out
    assert time.monotonic() - began < 2 * termination.GRACE
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_bucket_without_rights_is_for_the_user_to_mend(tmp_path):
    with gcs.denying() as store:
        words = ("data", str(shop(tmp_path, 2_000)), "--workdir", "gs://bucket/w")
        done = store.run("-m", "podway.launch.cli", *words)
    assert done.returncode == exit_codes.REFUSED, done.stderr[-3000:]
    said = f"{gcs.DENIED.removesuffix('.')}; grant the account"
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def write_records() -> None:
    writer = ArrayRecordWriter("/dev/full", "group_size:1")
    writer.write(b"x" * 100_000)
    writer.close()


def write_parquet() -> None:
    polars.DataFrame({"x": range(10_000)}).write_parquet("/dev/full")


@pytest.mark.parametrize("write", [write_records, write_parquet])
def test_a_full_disk_is_for_the_user_to_mend_whichever_library_says_it(write, monkeypatch, capsys):
    with pytest.raises(Exception, match="No space left on device") as error:
        write()
    assert not isinstance(error.value, OSError), "a number says it"
    code, said = ended(monkeypatch, capsys, "data", error.value)
    assert code == exit_codes.REFUSED
    assert "No space left on device" in said
    assert "Traceback" not in said


def test_a_device_whose_memory_is_too_small_is_for_the_user_to_mend(tmp_path):
    """A real one: no machine has 2^50 bytes."""
    train = "podway.launch.cli", "train", str(shop(tmp_path, 2_000))
    large = "--mesh.fsdp", "1", "--model.feed-forward", str(2**42)
    done = forked.run(
        (*train, "--workdir", str(tmp_path / "w"), *large),
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": xla.flags(), "JAX_PLATFORMS": "cpu"},
        timeout=300,
    )
    assert done.returncode == exit_codes.REFUSED, done.stderr[-3000:]
    assert "podway: error: the memory of a device is full" in done.stderr
