"""A web server on loopback, with a certificate of a test's own authority, that does what its pages say."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Page = bytes | Callable[[http.server.BaseHTTPRequestHandler], None]


@dataclass
class Web:
    """A running server.

    Attributes
    ----------
    url : str
        Such as https://localhost:8443.
    pages : dict of str to bytes or callable
        By path without query. Bytes are sent with ETag, ranges and conditions; a callable answers by itself.
    requests : list of (str, str, dict)
        Method, target and headers of each request.
    """

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


def redirect(place: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def status(number: int, **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(number)
        for name, value in {**headers, "Content-Length": "0"}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


@contextlib.contextmanager
def serve_web(folder: Path, *, secure: bool = True) -> Iterator[Web]:
    """Run a server; `folder/ca.pem` is the certificate of its authority."""
    web = Web()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            web.requests.append((self.command, self.path, dict(self.headers.items())))
            page = web.pages.get(self.path.partition("?")[0])
            if page is None:
                status(404)(self)
            elif callable(page):
                page(self)
            else:
                _send(self, page)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: clients end connections as they like."""

    server = Server(("127.0.0.1", 0), Handler)
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificates(folder))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    web.url = f"{'https' if secure else 'http'}://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


def _send(handler: http.server.BaseHTTPRequestHandler, page: bytes) -> None:
    etag = f'"{hashlib.md5(page).hexdigest()}"'
    if handler.headers.get("If-Match", etag) != etag:
        status(412)(handler)
        return
    wanted, body = handler.headers.get("Range", ""), page
    if wanted:
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(len(page), int(last) + 1 if last else len(page))
        body = page[start:stop]
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(page)}")
    else:
        handler.send_response(200)
    handler.send_header("ETag", etag)
    handler.send_header("Last-Modified", "Sat, 01 Mar 2025 10:00:00 GMT")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(body)


def _certificates(folder: Path) -> Path:
    """Write `ca.pem`, and return a file with the key and the certificate of localhost."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def certificate(
        name: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
    ) -> bytes:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        )
        if name != issuer:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(certificate("imindex test", "imindex test", authority, authority))
    key = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(key + certificate("localhost", "imindex test", own, authority))
    return folder / "server.pem"
