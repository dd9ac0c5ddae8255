"""The folder of answers: what is where, and what is done of it.

OUTPUT/recommendations/part-00003.parquet  a part's answers (or scores/, embeddings/, items/)
OUTPUT/rejected/part-00003.parquet         who of this part gets none, where there is somebody
OUTPUT/rejected/asked.parquet              who was asked for, and is not there
OUTPUT/manifest.json                       last: all is there
OUTPUT/_work/                              gone at the end: plan.json, what is asked, so that no
                                           part of another question is taken; asked.parquet, who:
                                           a row group for each part; lock

A part is whole or not there, and its rejected rows are there before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import os
import pathlib
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from podway.framework import artifact, codec
from podway.framework.artifact.checksum import File
from podway.launch.loaded.error import RequestError, require

KIND = "answers"
"""Of the artefact."""
REJECTED = "rejected"
_WORK, _PLAN, _ASKED, _LOCK = "_work", "plan.json", "asked.parquet", "lock"
_METADATA = b"podway"


@dataclasses.dataclass(frozen=True)
class Part:
    """A part that is there.

    Attributes:
      number: from 0.
      rows: of its answers.
      rejected: rows of who gets none.
      files: of both, as the manifest lists them.
    """

    number: int
    rows: int
    rejected: int
    files: tuple[File, ...]


@dataclasses.dataclass(frozen=True)
class Folder:
    """Where answers lie.

    Attributes:
      home: local folder, or one on gs://.
      answers: what its parts are called.
    """

    home: str
    answers: str

    @property
    def path(self) -> epath.Path:
        """The folder."""
        return epath.Path(self.home)

    @property
    def asked(self) -> epath.Path:
        """The table of who is asked for."""
        return self.path / _WORK / _ASKED

    def part(self, number: int) -> epath.Path:
        """A part's answers."""
        return self.path / self.answers / _name(number)

    def read(self, number: int) -> Part | None:
        """A part, if it is there and whole."""
        found = _content(self.part(number))
        if found is None:
            return None
        rows, metadata, file = found
        files, rejected = [self._file(self.part(number), file)], int(metadata[_METADATA])
        if rejected:
            beside = self.path / REJECTED / _name(number)
            other = _content(beside)
            if other is None or other[0] != rejected:
                return None
            files.append(self._file(beside, other[2]))
        return Part(number, rows, rejected, tuple(files))

    def write(self, number: int, answers: pa.Table, rejected: pa.Table) -> Part:
        """Puts a part there, whole."""
        files = []
        if len(rejected):
            beside = self.path / REJECTED / _name(number)
            files.append(self._file(beside, put(beside, rejected)))
        said = answers.replace_schema_metadata(
            {**(answers.schema.metadata or {}), _METADATA: str(len(rejected))}
        )
        files.insert(0, self._file(self.part(number), put(self.part(number), said)))
        return Part(number, len(answers), len(rejected), tuple(files))

    def rejects(self, rejected: pa.Table) -> File | None:
        """Puts there who was asked for and is not there; None: nobody."""
        if not len(rejected):
            return None
        place = self.path / REJECTED / _ASKED
        return self._file(place, put(place, rejected))

    def done(self) -> int:
        """How many parts are there, whole or about to be looked at."""
        folder = self.path / self.answers
        try:
            return sum(name.name.startswith("part-") for name in folder.iterdir())
        except FileNotFoundError:
            return 0

    def commit(self, question: Any, name: str, inputs: dict[str, str], parts: Iterable[Part]):
        """Writes the manifest: all parts are there."""
        parts = sorted(parts, key=lambda part: part.number)
        plan = json.loads((self.path / _WORK / _PLAN).read_text())
        files = [File(**plan["rejected"])] if plan["rejected"] else []
        files += [file for part in parts for file in part.files]
        artifact.commit(
            self.path,
            kind=KIND,
            name=name,
            version=artifact.version(kind=KIND, config=question, inputs=inputs, code=""),
            config=question,
            inputs=inputs,
            code="",
            details={
                "rows": sum(part.rows for part in parts),
                "unanswered": sum(part.rejected for part in parts),
                "unknown": plan["unknown"],
                "asked": plan["total"],
                "parts": len(parts),
            },
            references=files,
            unlisted=tuple(artifact.walk(self.path)),
        )

    def committed(self, question: Any) -> artifact.Manifest | None:
        """The manifest, if all is there. Raises RequestError: it is of another question."""
        if not artifact.exists(self.path):
            return None
        manifest = artifact.read(self.path, KIND)
        refuse_another(self.home, question, manifest.config, "is there, of")
        return manifest

    def begin(self, question: Any) -> bool:
        """Whether `asked` is there already, of just this question. Raises RequestError: parts of
        another are there, or what nobody here made."""
        plan = self.path / _WORK / _PLAN
        if plan.exists():
            there = json.loads(plan.read_text())["question"]
            refuse_another(self.home, question, there, "has parts of")
            return True
        strangers: list[str] = []
        with contextlib.suppress(FileNotFoundError):  # a bucket has no empty folders
            strangers = [each for each in artifact.walk(self.path) if not each.startswith(_WORK)]
        require(
            not strangers,
            f"{self.home} is there, and was not made by `podway predict`: it has"
            f" {strangers[:1]}; give another --output",
        )
        return False

    def plan(self, question: Any, total: int, tables: Iterable[pa.Table], rejected: pa.Table):
        """Writes who is asked for, a row group for each part, then that this is what is asked."""
        with replaced(self.asked) as file:
            writer = None
            try:
                for table in tables:
                    if writer is None:
                        writer = pq.ParquetWriter(file, table.schema, compression="zstd")
                    writer.write_table(table, row_group_size=len(table))
            finally:
                if writer is not None:
                    writer.close()
        unknown = self.rejects(rejected)
        said = {
            "question": question,
            "total": total,
            "unknown": len(rejected),
            "rejected": None if unknown is None else dataclasses.asdict(unknown),
        }
        artifact.write_atomically(self.path / _WORK / _PLAN, json.dumps(said))

    def rows(self, number: int) -> pa.Table:
        """Who is asked for in a part."""
        with self.asked.open("rb") as file:
            return pq.ParquetFile(file).read_row_group(number)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Makes the folder for this process alone, where a file system can say so; on gs:// two
        processes would make the same parts. Raises RequestError."""
        if "://" in self.home:
            yield
            return
        home = pathlib.Path(self.home)
        require(
            home.parent.is_dir(),
            f"--output {self.home}: there is no folder {home.parent}; make it",
        )
        (home / _WORK).mkdir(parents=True, exist_ok=True)
        with (home / _WORK / _LOCK).open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise RequestError(
                    f"{self.home} is being made by another process ({lock.read().strip()}); wait"
                    " for it, or end it"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()}")
            lock.flush()
            yield

    def tidy(self) -> None:
        """Removes what was needed to make it."""
        (self.path / _WORK).rmtree(missing_ok=True)

    def _file(self, path: epath.Path, content: bytes) -> File:
        name = f"{path.parent.name}/{path.name}"
        return File(name, len(content), hashlib.sha256(content).hexdigest())


def refuse_another(where: str, question: Any, there: Any, says: str) -> None:
    """Raises RequestError unless both questions are the same."""
    different = codec.difference(question, there)
    require(
        different is None,
        f"{where} {says} another question: {different}; remove it, or give another --output",
    )


def put(path: epath.Path, table: pa.Table) -> bytes:
    """Puts a table there as Parquet, whole; its bytes."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=max(len(table), 1))
    content = sink.getvalue()
    with replaced(path) as file:
        file.write(content)
    return content


@contextlib.contextmanager
def replaced(path: epath.PathLike) -> Iterator[Any]:
    """A file to write, which takes its place when the block ends well."""
    path = epath.Path(path)
    if "://" in str(path):  # an object is put whole, when it is closed
        with path.open("wb") as file:
            yield file
        return
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _content(path: epath.Path) -> tuple[int, dict[bytes, bytes], bytes] | None:
    """Rows, metadata and bytes of a Parquet file; None: it is not there, or not whole."""
    try:
        content = path.read_bytes()
        metadata = pq.read_metadata(pa.BufferReader(content))
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    return metadata.num_rows, metadata.metadata or {}, content


def _name(number: int) -> str:
    return f"part-{number:05}.parquet"
