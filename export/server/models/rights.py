"""Who may replace the config of models, and by models of which folders.

A config names folders, and what lies there is run: HandleReloadConfigRequest is for those who
operate the server, not for all who may ask its models. They come over the Unix socket, which the
system lets its owner alone open, or with a certificate that the server has checked.
"""

import dataclasses
import os
import posixpath
from collections.abc import Iterable
from typing import Any

from podway.export.server.error import PERMISSION_DENIED, UNIMPLEMENTED, RequestError, ServerError
from podway.export.server.models.config import ModelConfig
from podway.export.server.options import ServerOptions

_ODD = ("", ".", "..")
"""Parts of a URL that one store takes as names, and another resolves."""


@dataclasses.dataclass(frozen=True)
class Rights:
    """What clients may change.

    Attributes:
      management: whether any of them may replace the config.
      root: the folder, or gs:// prefix, below which models have to lie.
    """

    management: bool
    root: str

    @classmethod
    def of(cls, options: ServerOptions) -> "Rights":
        """What the options say. Raises ServerError."""
        beside = options.model_config_file or options.model_base_path.rstrip("/")
        root = options.model_root or _parent(beside)
        if "://" in root and any(part in _ODD for part in _parts(root)):
            raise ServerError(f"model_root {root} has empty parts, . or ..; leave them out")
        return cls(options.enable_model_management, root)

    def refusal(self, context: Any) -> RequestError | None:
        """Why the client of this call (grpc.aio.ServicerContext) may not; None where it may."""
        if not self.management:
            return RequestError(
                UNIMPLEMENTED,
                "this server takes no config from clients; start it with --enable_model_management"
                " and --grpc_socket_path, or change its --model_config_file",
            )
        if context.peer().startswith("unix:") or "x509_pem_cert" in context.auth_context():
            return None
        return RequestError(
            PERMISSION_DENIED,
            "a config is taken from clients of --grpc_socket_path alone, and by mutual TLS"
            " (client_verify in --ssl_config_file)",
        )

    def check(self, models: Iterable[ModelConfig]) -> None:
        """Raises RequestError for the first model that lies elsewhere."""
        for model in models:
            path = os.fspath(model.base_path)
            if not below(path, self.root):
                raise RequestError(
                    PERMISSION_DENIED,
                    f"model {model.name}: base_path {path} does not lie below {self.root}; give a"
                    " folder there, or start the server with another --model_root",
                )


def below(path: str, root: str) -> bool:
    """Whether the path is the root or lies in it, once links and .. are resolved."""
    if "://" in root:
        parts, wanted = _parts(path), _parts(root)
        return parts[: len(wanted)] == wanted and not any(part in _ODD for part in parts)
    if not path.startswith("/"):
        return False
    real, wanted = os.path.realpath(path), os.path.realpath(root)
    return os.path.commonpath((real, wanted)) == wanted


def _parts(url: str) -> list[str]:
    scheme, _, rest = url.rstrip("/").partition("://")
    return [scheme, *rest.split("/")]


def _parent(path: str) -> str:
    return posixpath.dirname(path) if "://" in path else os.path.dirname(os.path.abspath(path))
