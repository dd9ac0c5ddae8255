"""The same raw file under two names, whose events would count twice."""

import collections
import hashlib
from collections.abc import Iterable, Iterator, Sequence

from podway.beam.error import DataError
from podway.beam.formats import reader
from podway.beam.formats.rows import roles_of
from podway.beam.formats.stream import SUFFIXES, Stream
from podway.beam.paths import partitions
from podway.framework.config import Characters, Data, Idx, Rdatasets


def refuse(data: Data, files: Sequence[str], identities: Sequence[Sequence[str | int]]) -> None:
    """Raises DataError where two files have the same rows: the same bytes, packed or not.

    Files without rows may be alike, and so may all where equal events are dropped anyway, or where
    their folders hold other values of a column that is read. Of texts and images, equal ones are
    other documents.

    Args:
      data: the config.
      files: of data.path.
      identities: of each, its name and what stands for its content (see source.identities).
    """
    dropped = data.duplicates == "drop" or data.columns.id is not None
    if dropped or isinstance(data.format, Characters | Idx | Rdatasets):
        return
    by_content = collections.defaultdict(list)
    read = set(roles_of(data).values())
    for file, (_, *content) in zip(files, identities, strict=True):
        held = {name: value for name, value in partitions(file).items() if name in read}
        by_content[(*content, *sorted(held.items()))].append(file)
    for first, second in (*_pairs(by_content.values()), *_packed(files)):
        if _has_rows(first, data):
            raise DataError(
                f"{first} and {second} have the same content, so each event would count twice;"
                " remove one of them, let data.path name one alone, set data.duplicates to drop, or"
                " name a column that identifies each event in data.columns.id"
            )


def _pairs(groups: Iterable[list[str]]) -> Iterator[tuple[str, str]]:
    yield from ((group[0], group[1]) for group in groups if len(group) > 1)


def _packed(files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Files of a folder that are called alike but for how they are packed, and are the same
    unpacked."""
    by_name = collections.defaultdict(list)
    for file in files:
        name = file
        for suffix in SUFFIXES:
            name = name.removesuffix(suffix)
        by_name[name].append(file)
    for alike in by_name.values():
        packed = [file for file in alike if file.endswith(tuple(SUFFIXES))]
        if packed and len(alike) > 1:
            by_content = collections.defaultdict(list)
            for file in alike:
                by_content[_unpacked(file)].append(file)
            yield from _pairs(by_content.values())


def _unpacked(file: str) -> str:
    digest = hashlib.sha256()
    try:
        with Stream(file) as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    except OSError:  # the pipeline says what is wrong
        return file
    return digest.hexdigest()


def _has_rows(file: str, data: Data) -> bool:
    return any(
        len(batch.numbers) or batch.rejected for batch in reader.read(file, data, sample=True)
    )
