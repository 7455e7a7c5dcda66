"""A web server on loopback that plays whatever a test asks for, and logs each request with its time."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Page:
    """A response: its body is sent with its length, unless `send` writes it."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    """The Content-Length that is claimed; -1 for none."""
    send: Callable[[BaseHTTPRequestHandler], None] | None = None


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    path: str
    host: str
    user_agent: str
    at: float


class Website:
    """Pages by their path with query, and the log of the requests.

    A page may be a list: the first request gets the first, and so on; the last one is repeated.
    """

    def __init__(self, pages: Mapping[str, Page | list[Page]]):
        self.pages: dict[str, Page | list[Page]] = dict(pages)
        self.log: list[Asked] = []
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        self.port = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def paths(self, *, rules: bool = False) -> list[str]:
        """The paths that were asked for; without those of robots.txt and tdmrep.json by default."""
        own = ("/robots.txt", "/.well-known/tdmrep.json")
        with self.lock:
            return [asked.path for asked in self.log if rules or asked.path not in own]

    def page(self, path: str) -> Page:
        found = self.pages.get(path, Page(b"nothing here", 404))
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


@contextmanager
def website(
    pages: Mapping[str, Page | list[Page]], *, certificate: tuple[Path, Path] | None = None
) -> Iterator[Website]:
    """Serve pages on a free port of loopback until the end of the block; by https with a certificate and its key."""
    site = Website(pages)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with site.lock:
                site.open += 1
                site.most_open = max(site.most_open, site.open)
                site.log.append(
                    Asked(
                        self.path,
                        self.headers.get("Host", ""),
                        self.headers.get("User-Agent", ""),
                        time.monotonic(),
                    )
                )
                page = site.page(self.path)
            try:
                self._answer(page)
            except OSError:  # the client has seen enough
                self.close_connection = True
            finally:
                with site.lock:
                    site.open -= 1

        def _answer(self, page: Page) -> None:
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            length = len(page.body) if page.length is None else page.length
            if length >= 0:
                self.send_header("Content-Length", str(length))
            if length != len(page.body):
                self.close_connection = True
            self.end_headers()
            if page.send is not None:
                page.send(self)
            else:
                self.wfile.write(page.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def self_signed(folder: Path, host: str) -> tuple[Path, Path]:
    """Write a certificate for a host that is signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    numeric = host[0].isdecimal()
    alternative = x509.IPAddress(ipaddress.ip_address(host)) if numeric else x509.DNSName(host)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2120, 1, 1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{host}.pem", folder / f"{host}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return paths
