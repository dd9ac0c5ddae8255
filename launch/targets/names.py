"""Names that clusters accept, made of ours: a label of DNS (RFC 1123) has no "_"."""

import hashlib
import re

LABEL = 63
"""Characters of a label of DNS, and of a label's value in Kubernetes."""
_LEGAL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def legal(text: str, limit: int = LABEL) -> str:
    """A label of DNS that reads as the text does: "movielens_sasrec" → "movielens-sasrec".

    What is too long keeps its beginning, and gets a hash of all of it.
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{name[: limit - 7].rstrip('-')}-{digest}"


def is_legal(name: str, limit: int = LABEL) -> bool:
    """Whether a cluster takes the name as it is."""
    return len(name) <= limit and bool(_LEGAL.fullmatch(name))
