"""Ed25519 signatures in minisign's formats (https://jedisct1.github.io/minisign/).

Keys and signatures are files of a few lines, which the program `minisign` makes and checks as well.
What is signed is BLAKE2b of the content, and then, together with that signature, a comment that can
be trusted: it says what was signed. Secret keys have no password here (`minisign -G -W`): whoever
publishes by themselves would have to keep it beside the key.
"""

import base64
import binascii
import dataclasses
import hashlib
import os
import secrets

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from etils import epath

from podway.export.error import ExportError

_KEY, _PREHASHED = b"Ed", b"ED"
"""Begin keys, and signatures of a hash. Those of the content itself, minisign's old kind, have the
first, and are refused."""
_NO_PASSWORD, _CHECKSUM = b"\0\0", b"B2"
_ID, _SEED, _SIGNATURE = 8, 32, 64
_SECRET = 2 + 2 + 2 + 32 + 8 + 8
"""Bytes of a secret key's head: kinds, and how its password is stretched."""
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "


@dataclasses.dataclass(frozen=True)
class PublicKey:
    """What signatures are checked with.

    Attributes:
      id: 8 bytes, of the pair.
      key: 32 bytes.
    """

    id: bytes
    key: bytes

    @classmethod
    def read(cls, path: epath.PathLike) -> "PublicKey":
        """The key in a file. Raises ExportError."""
        content = _decoded(_lines(path, "public key", 2)[1])
        if len(content) != 2 + _ID + 32 or not content.startswith(_KEY):
            raise ExportError(f"{path} is no public key of minisign: `podway keys` makes one")
        return cls(content[2 : 2 + _ID], content[2 + _ID :])

    @property
    def text(self) -> str:
        """The content of its file."""
        comment = f"{_UNTRUSTED}minisign public key {_name(self.id)}"
        return f"{comment}\n{_encoded(_KEY + self.id + self.key)}\n"


@dataclasses.dataclass(frozen=True)
class SecretKey:
    """What is signed with.

    Attributes:
      id: 8 bytes, of the pair.
      seed: 32 bytes, never to be shown.
    """

    id: bytes
    seed: bytes = dataclasses.field(repr=False)

    @classmethod
    def new(cls) -> "SecretKey":
        """One that nobody has."""
        return cls(secrets.token_bytes(_ID), secrets.token_bytes(_SEED))

    @classmethod
    def read(cls, path: epath.PathLike) -> "SecretKey":
        """The key in a file. Raises ExportError, which does not quote it."""
        content = _decoded(_lines(path, "secret key", 2)[1])
        if len(content) != _SECRET + _ID + 2 * _SEED + 32 or not content.startswith(_KEY):
            raise ExportError(f"{path} is no secret key of minisign: `podway keys` makes one")
        if content[2:4] != _NO_PASSWORD:
            raise ExportError(
                f"{path} has a password: give a key without one (`podway keys`, or `minisign -G"
                " -W`), or take it off (`minisign -C -W`)"
            )
        key = content[_SECRET:]
        return cls(key[:_ID], key[_ID : _ID + _SEED])

    @property
    def text(self) -> str:
        """The content of its file, as `minisign -G -W` writes it."""
        head = (_KEY + _NO_PASSWORD + _CHECKSUM).ljust(_SECRET, b"\0")
        content = head + self.id + self.seed + self.public.key + bytes(32)
        return f"{_UNTRUSTED}minisign encrypted secret key\n{_encoded(content)}\n"

    @property
    def public(self) -> PublicKey:
        """What checks its signatures."""
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        return PublicKey(self.id, self._ed25519.public_key().public_bytes(*raw))

    def sign(self, content: bytes, comment: str) -> str:
        """The text of a signature of this content, and of the comment, which is one line."""
        signature = self._ed25519.sign(_hash(content))
        both = self._ed25519.sign(signature + comment.encode())
        return (
            f"{_UNTRUSTED}signature from podway\n{_encoded(_PREHASHED + self.id + signature)}\n"
            f"{_TRUSTED}{comment}\n{_encoded(both)}\n"
        )

    @property
    def _ed25519(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def check(content: bytes, path: epath.PathLike, key: PublicKey) -> str:
    """The trusted comment of the signature in a file. Raises ExportError unless it is the key's."""
    _, signed, comment, both = _lines(path, "signature", 4)
    head = _decoded(signed)
    if len(head) != 2 + _ID + _SIGNATURE or not comment.startswith(_TRUSTED):
        raise ExportError(f"{path} is no signature of minisign")
    if not head.startswith(_PREHASHED):
        raise ExportError(f"{path} is of minisign's old kind (-l); sign without that flag")
    if (by := head[2 : 2 + _ID]) != key.id:
        raise ExportError(f"{path} is signed by key {_name(by)}, not by {_name(key.id)}")
    signature, said = head[2 + _ID :], comment.removeprefix(_TRUSTED)
    public = Ed25519PublicKey.from_public_bytes(key.key)
    try:
        public.verify(signature, _hash(content))
        public.verify(_decoded(both), signature + said.encode())
    except InvalidSignature:
        raise ExportError(
            f"{path} is no signature of what lies there: that was altered, or the signature was"
        ) from None
    return said


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=64).digest()


def _lines(path: epath.PathLike, what: str, count: int) -> list[str]:
    """The lines of a file that has so many. Raises ExportError."""
    path = epath.Path(path)
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        lines = []
    except OSError as error:
        why = "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise ExportError(f"{path} cannot be read as a {what}: {why or error}") from error
    if len(lines) != count or not lines[0].startswith(_UNTRUSTED):
        raise ExportError(f"{path} is no {what} of minisign: it should have {count} lines")
    return lines


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _decoded(text: str) -> bytes:
    """b"" where there is no such thing."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _name(key: bytes) -> str:
    return key[::-1].hex().upper()


def write_pair(path: epath.PathLike) -> PublicKey:
    """Makes a pair: the secret key in a file for this user alone, the other in PATH.pub.

    Raises OSError: one of them is there already, or cannot be written.
    """
    key = SecretKey.new()
    for name, text, mode in ((path, key.text, 0o600), (f"{path}.pub", key.public.text, 0o644)):
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
    return key.public
