"""Keys and certificates for tests, and what clients and servers make of them."""

import dataclasses
import datetime
import ipaddress
import json
import pathlib
import ssl
import tempfile

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclasses.dataclass(frozen=True)
class Identity:
    """A private key and its certificate."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def identity(name: str, signer: Identity | None = None) -> Identity:
    """An authority, or who is signed by one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.name if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .sign(signer.key if signer else key, hashes.SHA256())
    )
    return Identity(subject, key, certificate)


def ssl_config(
    server: Identity | None = None, ca: Identity | None = None, verify: bool = False
) -> str:
    """The text of an --ssl_config_file."""
    fields = {
        "server_key": server.key_pem.decode() if server else "",
        "server_cert": server.pem.decode() if server else "",
        "custom_ca": ca.pem.decode() if ca else "",
        "client_verify": verify,
    }
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items())


@dataclasses.dataclass(frozen=True)
class Trust:
    """Whom a client trusts, and who it is itself: its credentials for gRPC and for HTTPS."""

    authority: Identity
    own: Identity | None = None

    @property
    def grpc(self) -> grpc.ChannelCredentials:
        if self.own is None:
            return grpc.ssl_channel_credentials(self.authority.pem)
        return grpc.ssl_channel_credentials(self.authority.pem, self.own.key_pem, self.own.pem)

    @property
    def https(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # these certificates are short
        if self.own is not None:
            with tempfile.TemporaryDirectory() as folder:
                file = pathlib.Path(folder, "own.pem")
                file.write_bytes(self.own.key_pem + self.own.pem)
                context.load_cert_chain(file)
        return context
