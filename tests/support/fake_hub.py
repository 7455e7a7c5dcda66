"""A local stand-in for a hub's HTTP interface, as far as `imindex push` and `pull` use it. It is not the real one."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What the hub holds: files by commit, the latest last; and how it misbehaves."""

    url: str = ""
    token: str = "hf_secret"
    private: bool | None = None
    commits: list[dict[str, bytes]] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    status: int = 0
    extra_names: tuple[str, ...] = ()
    corrupt: bool = False
    seen: list[str] = field(default_factory=list)

    def sha(self) -> str:
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()


def handler(hub: Hub) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def reply(self, status: int, body: Any = b"", **headers: str) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def handle_one(self) -> None:
            path = unquote(urlsplit(self.path).path)
            data = self.body()
            hub.seen.append(f"{self.command} {path}")
            if hub.status:
                self.reply(hub.status, {"error": "no"})
            elif self.command == "POST" and path == "/api/repos/create":
                if self.headers.get("Authorization") != f"Bearer {hub.token}":
                    self.reply(401, {"error": "Unauthorized"})
                    return
                wanted = json.loads(data)
                hub.private = wanted.get("private", wanted.get("visibility") == "private")
                self.reply(200, {"url": f"{hub.url}/datasets/me/audit"})
            elif path == "/api/validate-yaml":
                assert "imindex" in json.loads(data)["content"]
                self.reply(200, {"errors": [], "warnings": []})
            elif path.endswith("/preupload/main"):
                files = json.loads(data)["files"]
                mode = [{"path": one["path"], "uploadMode": "lfs" if one["path"].endswith("h5") else "regular",
                         "shouldIgnore": False} for one in files]  # fmt: skip
                self.reply(200, {"files": mode})
            elif path.endswith(".git/info/lfs/objects/batch"):
                objects = [
                    {"oid": one["oid"], "size": one["size"],
                     "actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}}
                    for one in json.loads(data)["objects"]
                ]  # fmt: skip
                self.reply(
                    200,
                    {"transfer": "basic", "objects": objects},
                    Content_Type="application/vnd.git-lfs+json",
                )
            elif self.command == "PUT" and path.startswith("/lfs/"):
                assert hashlib.sha256(data).hexdigest() == path.rpartition("/")[2]
                hub.uploaded[path.rpartition("/")[2]] = data
                self.reply(200)
            elif "/commit/" in path:
                files = dict(hub.commits[-1]) if hub.commits else {}
                for line in data.decode().splitlines():
                    one = json.loads(line)
                    if one["key"] == "file":
                        files[one["value"]["path"]] = base64.b64decode(one["value"]["content"])
                    elif one["key"] == "lfsFile":
                        files[one["value"]["path"]] = hub.uploaded[one["value"]["oid"]]
                hub.commits.append(files)
                self.reply(
                    200,
                    {"commitUrl": f"{hub.url}/datasets/me/audit/commit/{hub.sha()}", "commitOid": hub.sha()},
                )
            elif match := re.fullmatch(r"/api/datasets/me/audit(/revision/.+)?", path):
                if not hub.commits:
                    self.reply(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
                    return
                wanted = (match[1] or "").rpartition("/")[2]
                if wanted not in ("", "main", hub.sha()):
                    self.reply(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
                    return
                names = [*hub.commits[-1], *hub.extra_names]
                siblings = [{"rfilename": one} for one in names]
                about = {"id": "me/audit", "sha": hub.sha(), "private": bool(hub.private), "tags": []}
                self.reply(200, {**about, "downloads": 0, "likes": 0, "siblings": siblings})
            elif match := re.fullmatch(r"/datasets/me/audit/resolve/[^/]+/(.+)", path):
                found = hub.commits[-1].get(match[1]) if hub.commits else None
                if found is None:
                    self.reply(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
                    return
                if hub.corrupt and match[1].endswith(".h5"):
                    part = slice(len(found) // 10, 9 * len(found) // 10)
                    found = found[: part.start] + bytes(one ^ 1 for one in found[part]) + found[part.stop :]
                etag = hashlib.sha256(found).hexdigest()
                self.reply(200, found, ETag=f'"{etag}"', X_Repo_Commit=hub.sha(), X_Linked_Size=str(len(found)),
                           X_Linked_Etag=f'"{etag}"', Accept_Ranges="bytes")  # fmt: skip
            else:
                self.reply(404, {"error": f"nothing at {path}"})

        do_GET = do_POST = do_PUT = do_HEAD = handle_one

    return Handler


@contextlib.contextmanager
def fake_hub() -> Iterator[Hub]:
    hub = Hub()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
