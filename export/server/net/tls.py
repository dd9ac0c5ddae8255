"""TLS for both APIs, from tensorflow_model_server's ssl_config_file.

server_key: "-----BEGIN PRIVATE KEY-----\\n…"      PEM, not the name of a file
server_cert: "-----BEGIN CERTIFICATE-----\\n…"
custom_ca: "-----BEGIN CERTIFICATE-----\\n…"        who may sign clients' certificates
client_verify: true                               refuse clients without such a certificate
"""

import dataclasses
import ssl
import tempfile

import grpc
from etils import epath

from podway.export.server import text_proto
from podway.export.server.error import ServerError

FLAG = "ssl_config_file"


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who the server is to its clients, and whether it asks who they are.

    Attributes:
      credentials: for gRPC.
      context: for REST; the same key, certificate and demand.
      client_verify: whether every client has a certificate that custom_ca signed.
    """

    credentials: grpc.ServerCredentials
    context: ssl.SSLContext
    client_verify: bool


def read(path: epath.PathLike) -> Identity:
    """What the file says. Raises ServerError."""
    config = text_proto.read(path, "SSLConfig", FLAG)
    where = f"{FLAG} {path}"
    for field, kind in (
        ("server_key", "PRIVATE KEY"),
        ("server_cert", "CERTIFICATE"),
        ("custom_ca", "CERTIFICATE"),
    ):
        text = getattr(config, field)
        if (text or field != "custom_ca") and f"{kind}-----" not in text:
            raise ServerError(
                f"{where}: {field} {'has' if text else 'is empty: it has'} to hold the PEM text"
                f" itself, which begins with -----BEGIN … {kind}-----"
            )
    if config.client_verify and not config.custom_ca:
        raise ServerError(
            f"{where}: client_verify needs custom_ca, the certificate of who signs the clients'"
        )
    context = _context(config.server_key, config.server_cert, config.custom_ca, where)
    if config.client_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    credentials = grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
    return Identity(credentials, context, config.client_verify)


def _context(key: str, certificate: str, authority: str, where: str) -> ssl.SSLContext:
    """Raises ServerError unless they can be used together; gRPC would only close connections."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # readable by this user alone
        file.write(f"{key}\n{certificate}\n")
        file.flush()
        try:
            context.load_cert_chain(file.name, password="")
        except (ssl.SSLError, ValueError) as error:
            raise ServerError(
                f"{where}: server_key and server_cert do not make a pair: {error}"
            ) from error
    if authority:
        try:
            context.load_verify_locations(cadata=authority)
        except (ssl.SSLError, ValueError) as error:
            raise ServerError(f"{where}: custom_ca is no certificate: {error}") from error
    return context
