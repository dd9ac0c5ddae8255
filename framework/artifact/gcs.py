"""Commits on gs://, where a directory cannot be renamed: create-only writes, the manifest last."""

import contextlib
import datetime
from collections.abc import Callable, Iterator
from concurrent import futures

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage

from podway.framework.artifact import manifest as manifests

_ABSENT = 0
"""The generation that an object must have so as to be created, never replaced."""


def check(target: str) -> None:
    """Raises ArtifactError where the bucket is not there, OSError where it cannot be used."""
    with _as_os_errors():
        client = storage.Client()
        bucket, prefix = _split(client, target)
        try:
            list(client.list_blobs(bucket, prefix=prefix, max_results=1))
        except exceptions.NotFound:
            raise manifests.ArtifactError(
                f"{target}: there is no bucket gs://{bucket.name}"
            ) from None


def publish(stage: str, target: str, manifest: str) -> None:
    """Copies the objects below `stage` to `target`, those that are not there; the manifest last.

    All writes are create-only, so that of several processes one alone writes the manifest. Objects
    that are there already come from another run of the same version, and must be equal to ours.

    Raises:
      ArtifactError: `target` was committed by another stage, or holds other content.
      OSError: the objects could not be copied.
    """
    with _as_os_errors():
        client = storage.Client()
        source, home = _split(client, stage), _split(client, target)
        if manifests.published(stage, target, manifest=manifest):
            return
        blobs = {
            blob.name.removeprefix(f"{source[1]}/"): blob
            for blob in client.list_blobs(source[0], prefix=f"{source[1]}/")
            if not blob.name.endswith("/")  # the mark of an empty folder
        }
        last = blobs.pop(manifest)
        with futures.ThreadPoolExecutor(16) as pool:
            copies = [
                pool.submit(_copy, blob, home[0], f"{home[1]}/{path}")
                for path, blob in blobs.items()
            ]
            for copy in copies:
                copy.result()
        commit = home[0].blob(f"{home[1]}/{manifest}")
        try:
            commit.upload_from_string(
                last.download_as_bytes(), "application/json", if_generation_match=_ABSENT
            )
        except exceptions.PreconditionFailed:  # also when our own request arrived twice
            manifests.published(stage, target, manifest=manifest)


def create(path: str, content: bytes) -> bool:
    """Writes an object where there is none; False where there is one. Raises OSError."""
    with _as_os_errors():
        bucket, name = _split(storage.Client(), path)
        try:
            bucket.blob(name).upload_from_string(content, if_generation_match=_ABSENT)
        except exceptions.PreconditionFailed:  # also when our own request arrived twice
            found = bucket.get_blob(name)
            return found is not None and found.download_as_bytes() == content
        return True


def exchange(path: str, change: Callable[[str], str | None]) -> None:
    """Replaces a small object by what `change` makes of its text, "" standing for no object.

    Where somebody else replaced it meanwhile, begins again. None leaves it as it is. Raises
    OSError.
    """
    with _as_os_errors():
        client = storage.Client()
        bucket, name = _split(client, path)
        while True:
            found, text, expected = bucket.get_blob(name), b"", _ABSENT
            try:
                if found is not None:
                    expected = found.generation
                    text = found.download_as_bytes(if_generation_match=expected)
                new = change(text.decode(errors="replace"))
                if new:
                    bucket.blob(name).upload_from_string(
                        new, "application/json", if_generation_match=expected
                    )
                elif new == "" and found is not None:
                    found.delete(if_generation_match=expected)
                return
            except exceptions.PreconditionFailed:
                continue
            except exceptions.NotFound:
                if found is None:  # there is no bucket
                    raise


def _copy(blob: storage.Blob, bucket: storage.Bucket, name: str) -> None:
    """Copies one object within the store, unless an equal one is there."""
    found = bucket.get_blob(name)
    if found is None or (not _equal(found, blob) and _is_old(found)):
        expected = _ABSENT if found is None else found.generation
        copy = bucket.blob(name)
        try:
            token, *_ = copy.rewrite(blob, if_generation_match=expected)
            while token is not None:  # a large object takes several calls
                token, *_ = copy.rewrite(blob, token=token, if_generation_match=expected)
            return
        except exceptions.PreconditionFailed:  # somebody else was quicker
            found = bucket.get_blob(name)
    if found is None or not _equal(found, blob):
        raise manifests.ArtifactError(
            f"gs://{bucket.name}/{name} is there, uncommitted and not what this run made: another"
            " run is at work or was killed; repeat when it is over, or delete that folder"
        )


def _equal(one: storage.Blob, other: storage.Blob) -> bool:
    return (one.size, one.crc32c) == (other.size, other.crc32c)


def _is_old(blob: storage.Blob) -> bool:
    now = datetime.datetime.now(datetime.UTC)
    return now - (blob.updated or now) > datetime.timedelta(days=manifests.LEFTOVER_DAYS)


def _split(client: storage.Client, path: str) -> tuple[storage.Bucket, str]:
    bucket, _, prefix = path.removeprefix("gs://").partition("/")
    return client.bucket(bucket), prefix


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except (exceptions.GoogleAPIError, GoogleAuthError) as error:
        raise OSError(f"Google Cloud Storage: {str(error).splitlines()[0]}") from error
