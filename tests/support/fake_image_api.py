"""A stand-in for an image API on loopback: it answers, refuses, fails and lies by rule, and logs each request."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    at: float

    @property
    def prompt(self) -> str:
        return str(self.body.get("prompt", ""))


@dataclass(frozen=True)
class Reply:
    """An answer: JSON, or bytes as they are; or `act`, which writes to the connection itself."""

    content: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    act: Callable[[BaseHTTPRequestHandler], None] | None = None

    @property
    def data(self) -> bytes:
        return json.dumps(self.content).encode() if self.body is None else self.body


Rule = Callable[[Seen, int], Reply | None]
"""Takes a request and how often its prompt was asked before; None leaves it to the next rule."""


class ImageApi:
    """The server: rules are tried in order, and a picture of the prompt is the answer if none applies."""

    def __init__(self, rules: Sequence[Rule] = (), picture: Callable[[str, int], bytes] | None = None):
        self.rules = list(rules)
        self.picture = picture or noise
        self.seen: list[Seen] = []
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        self.port = 0
        self.downloads: dict[str, Reply] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def prompts(self) -> list[str]:
        with self.lock:
            return [seen.prompt for seen in self.seen]

    def reply(self, seen: Seen, before: int) -> Reply:
        for rule in self.rules:
            if (reply := rule(seen, before)) is not None:
                return reply
        return picture_reply(self.picture(seen.prompt, before), model="fake-1")


def picture_reply(data: bytes, *, model: str = "", revised: str = "") -> Reply:
    entry = {"b64_json": base64.b64encode(data).decode()}
    if revised:
        entry["revised_prompt"] = revised
    return Reply({"created": 1, "data": [entry], **({"model": model} if model else {})})


def refusal(code: str = "content_policy_violation", status: int = 400, **more: Any) -> Reply:
    return Reply(
        {"error": {"code": code, "type": "invalid_request_error", "message": "Not this one.", **more}}, status
    )


def noise(prompt: str, before: int, size: int = 32) -> bytes:
    """A PNG that the prompt and the number of earlier requests for it determine."""
    seed = int.from_bytes(hashlib.sha256(f"{prompt}\0{before}".encode()).digest()[:8], "big")
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return png(pixels)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def of_folder(folder: Path) -> Callable[[str, int], bytes]:
    """Answer with the pictures of a release that the demonstration made, by the name in the prompt."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    pictures: dict[str, list[bytes]] = {}
    for row in rows:
        pictures.setdefault(row["prompt"], []).append((folder / row["path"]).read_bytes())
    return lambda prompt, before: pictures[prompt][before % len(pictures[prompt])]


def refuse_names(*names: str, code: str = "content_policy_violation") -> Rule:
    return lambda seen, before: refusal(code) if any(name in seen.prompt for name in names) else None


def first(n: int, reply: Reply) -> Rule:
    """Answer with a reply to the first n requests of each prompt."""
    return lambda seen, before: reply if before < n else None


def always(reply: Reply) -> Rule:
    return lambda seen, before: reply


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(30)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send the headers and then a byte now and then, for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(300):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection in the middle of the body."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data": [')
    handler.close_connection = True


def close(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def huge(handler: BaseHTTPRequestHandler) -> None:
    """Send a body without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(10_000):
        handler.wfile.write(b"x" * 2**16)


@contextmanager
def image_api(
    *rules: Rule, picture: Callable[[str, int], bytes] | None = None, port: int = 0
) -> Iterator[ImageApi]:
    """Serve on loopback until the end of the block."""
    api = ImageApi(rules, picture)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(api.downloads.get(self.path, Reply(body=b"nothing here", status=404)))

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            body = json.loads(data)
            with api.lock:
                api.open += 1
                api.most_open = max(api.most_open, api.open)
                before = sum(seen.prompt == body.get("prompt") for seen in api.seen)
                seen = Seen(self.path, body, dict(self.headers), time.monotonic())
                api.seen.append(seen)
            try:
                self._send(api.reply(seen, before))
            finally:
                with api.lock:
                    api.open -= 1

        def _send(self, reply: Reply) -> None:
            try:
                if reply.act is not None:
                    reply.act(self)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.data)))
                self.end_headers()
                self.wfile.write(reply.data)
            except OSError:  # the client has seen enough
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Server(("127.0.0.1", port), Handler)
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
