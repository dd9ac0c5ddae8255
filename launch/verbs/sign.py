"""The verbs that say who published: keys, sign."""

from __future__ import annotations

import dataclasses

from podway.framework.error import PodwayError
from podway.launch.verbs.verb import Subject, Verb
from podway.launch.verbs.versions import Versions


@dataclasses.dataclass(frozen=True)
class Keys:
    """Where a pair of keys goes."""

    key: str = "podway.key"
    """File of the secret key, which signs; the public key goes to the same name with .pub."""


@dataclasses.dataclass(frozen=True)
class Sign(Versions):
    """A version of a model, where it lies, and the key that signs it."""

    version: Subject = ""
    key: str = "podway.key"
    """File of the secret key, without a password: `podway keys` makes one, and so does
    `minisign -G -W`."""


_KEYS = """

minisign's formats (Ed25519). Who publishes keeps the secret key, and every server gets the public
one: `podway-model-server --verify_models_with=podway.key.pub`."""

_SIGN = """

The signature is of the manifest, which has the hashes of all other files: they are read and
compared first. It holds for this model and this version alone, and lies beside the manifest."""


def keys(options: Keys) -> None:
    """Makes a pair. Raises PodwayError: there is one already."""
    from podway.export.signature import minisign

    try:
        public = minisign.write_pair(options.key)
    except FileExistsError as error:
        raise PodwayError(f"{error.filename} is there already; give another --key") from error
    print(f"{options.key}: signs; keep it secret\n{options.key}.pub: checks; give it to servers")
    print(public.text.splitlines()[1])


def sign(options: Sign) -> None:
    """Signs a version. Raises ArtifactError, ExportError: it is not whole, or was not verified."""
    from podway.export import layout
    from podway.export.signature import signed
    from podway.export.signature.minisign import SecretKey
    from podway.export.versions import promote

    key = SecretKey.read(options.key)
    directory = layout.models(options.workdir) / options.model / options.version
    promote.check_admissible(directory)
    signed.sign(directory, signed.place(directory), key)
    print(f"{directory / layout.SIGNATURE}: signed as {signed.place(directory)}")


KEYS = Verb(
    "make the pair of keys that signs models",
    Keys,
    keys,
    of="",
    more=_KEYS,
    example="podway keys --key publisher.key",
)
SIGN = Verb(
    "sign a published version",
    Sign,
    sign,
    of="MODEL VERSION",
    more=_SIGN,
    example="podway sign movielens_sasrec 2 --key publisher.key --workdir w",
)
