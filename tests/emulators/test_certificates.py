"""Servers with a certificate that only a file of ours vouches for."""

from __future__ import annotations

import datetime as dt
import http.server
import ipaddress
import ssl
import threading

import pytest
import s3dlio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CONTENT = b"over tls"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one content under every name."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("Last-Modified", "Tue, 01 Jul 2025 12:00:00 GMT")
        self.send_header("ETag", '"tag"')
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate for 127.0.0.1 that vouches for itself, and its key: two paths."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "s3dlio test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
    return folder / "ca.pem", folder / "key.pem"


@pytest.fixture
def endpoint(authority, monkeypatch):
    """The URL of a server with that certificate; nothing in the environment trusts it yet."""
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"https://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("GCS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("S3DLIO_MAX_RETRY_ATTEMPTS", "0")
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_file_of_certificates_is_trusted(endpoint, authority, monkeypatch, variable, scheme):
    del endpoint
    monkeypatch.setenv(variable, str(authority[0]))
    assert s3dlio.get(f"{scheme}://bucket/key") == CONTENT


def test_an_unknown_certificate_is_refused_and_check_says_what_to_set(endpoint):
    with pytest.raises(s3dlio.StoreError, match=r"(?i)certificate"):
        s3dlio.get("s3://bucket/key")
    report = s3dlio.check("s3://bucket/")
    step = report.steps[-1]
    assert (step.name, step.ok) == ("TLS", False), str(report)
    assert "AWS_CA_BUNDLE" in step.advice
    assert endpoint.startswith("https")
