from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quietus_edge import tls
from quietus_edge.errors import FlushTimeoutError
from tests.edge.fake_suite import FakeSuite
from tests.edge.make import PATIENCE_SECONDS, becomes_unreachable, client, vision


def certificate() -> tuple[bytes, bytes]:
    """A private key and a self-signed certificate of 127.0.0.1, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, made.public_bytes(pem)


async def test_predictions_go_over_tls_to_whom_the_roots_know_alone(tmp_path: Path) -> None:
    private, public = certificate()
    _, stranger = certificate()
    (tmp_path / "roots.pem").write_bytes(public)
    (tmp_path / "stranger.pem").write_bytes(stranger)
    suite = FakeSuite()
    await suite.start(grpc.ssl_server_credentials([(private, public)]))
    async with client(suite, tmp_path / "spool", tls=tls(tmp_path / "stranger.pem")) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
        await becomes_unreachable(edge)
        with pytest.raises(FlushTimeoutError, match="unreachable"):
            await edge.flush(0.5)
    async with client(suite, tmp_path / "spool", tls=tls(tmp_path / "roots.pem")) as edge:
        await edge.flush(PATIENCE_SECONDS)
    await suite.stop()
    assert len(suite.stored) == 1
