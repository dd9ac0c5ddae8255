"""TLS and mutual TLS over gRPC, with certificates made here."""

import contextlib
import dataclasses
import datetime
import ipaddress
import json

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from podway.export.server.error import ServerError
from podway.export.server.net import tls
from tests.export.server.conftest import predict_request, running


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


@pytest.fixture(scope="module")
def authority():
    return identity("authority")


@pytest.fixture(scope="module")
def server(authority):
    return identity("server", authority)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ssl.txt"


def text(server=None, ca=None, verify=False):
    fields = {
        "server_key": server.key_pem.decode() if server else "",
        "server_cert": server.pem.decode() if server else "",
        "custom_ca": ca.pem.decode() if ca else "",
        "client_verify": verify,
    }
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items())


@contextlib.contextmanager
def answering(site, file, credentials):
    """A server that has answered a client of these credentials."""
    with running(site, credentials, ssl_config_file=str(file)) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        client.prediction.Predict(predict_request(history=[["a"]]), timeout=20)
        yield client


@pytest.fixture
def one(site):
    site.put(1)
    site.ask_for_versions(1)
    return site


def refused(client, credentials=None):
    address = f"localhost:{client.grpc_port}"
    with (
        (
            grpc.secure_channel(address, credentials)
            if credentials
            else grpc.insecure_channel(address)
        ) as channel,
        pytest.raises(grpc.FutureTimeoutError),
    ):
        grpc.channel_ready_future(channel).result(timeout=1.5)
    return True


def test_tls_serves_who_trusts_the_authority_and_nobody_in_the_clear(one, file, authority, server):
    file.write_text(text(server))
    with answering(one, file, grpc.ssl_channel_credentials(authority.pem)) as client:
        assert refused(client)
        assert refused(client, grpc.ssl_channel_credentials(identity("another").pem))


def test_mutual_tls_serves_only_clients_that_the_authority_signed(one, file, authority, server):
    file.write_text(text(server, authority, verify=True))
    friend, stranger = identity("friend", authority), identity("stranger", identity("another"))
    trusted = grpc.ssl_channel_credentials(authority.pem, friend.key_pem, friend.pem)
    with answering(one, file, trusted) as client:
        assert refused(client, grpc.ssl_channel_credentials(authority.pem))
        assert refused(
            client, grpc.ssl_channel_credentials(authority.pem, stranger.key_pem, stranger.pem)
        )
        assert refused(client)


def test_what_cannot_be_used_names_file_field_and_remedy(file, authority, server):
    other = identity("other", authority)
    mixed = text(server).replace(
        text(server).splitlines()[1], text(other).splitlines()[1]
    )  # another's certificate
    for content, said in [
        (text(), "server_key is empty: it has to hold the PEM text"),
        ('server_key: "/etc/server.key" server_cert: "x"', "server_key has to hold the PEM text"),
        (text(server, verify=True), "client_verify needs custom_ca"),
        (mixed, "do not make a pair"),
        ("server_keys: ''", '1:1 .*no field named "server_keys"'),
        ("client_verify: 3", "1:16"),
    ]:
        file.write_text(content)
        with pytest.raises(ServerError, match=said) as raised:
            tls.read(file)
        assert str(raised.value).startswith(f"ssl_config_file {file}")
        assert "PRIVATE KEY-----\n" not in str(raised.value)  # no secret reaches a log


def test_a_damaged_authority_is_named(file, authority, server):
    file.write_text(
        text(server, authority).replace(
            'custom_ca: "-----BEGIN CERTIFICATE-----', 'custom_ca: "-----BEGIN CERTIFICATE-----AAAA'
        )
    )
    with pytest.raises(ServerError, match="custom_ca is no certificate"):
        tls.read(file)
