"""The HTTP API: answers as of the library, limits that are named, and what nobody may ask."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import json
import os
import shutil
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import imindex
from imindex.indexer.demo.artists import NAMES
from imindex.retrieval.serve.app import make_app
from imindex.retrieval.serve.settings import Settings
from tests.support.browser import Served, serving
from tests.support.commands import run

testclient = pytest.importorskip("fastapi.testclient")
BASE = "http://127.0.0.1"
API = "/api/v1/indexes/audit"
FIELD = b"--b\r\nContent-Disposition: %b\r\n\r\nx\r\n"


@pytest.fixture(scope="module")
def client(drawn: Path) -> Iterator[Any]:
    with started(indexes=(drawn / "audit.h5",)) as opened:
        yield opened


def started(**settings: Any) -> Any:
    """Return a client of an application, which waits until it is ready."""
    made = Settings(encoder={"device": "cpu"}, **settings)
    client = testclient.TestClient(make_app(made), base_url=BASE, raise_server_exceptions=False)
    client.__enter__()
    headers = {"Authorization": f"Bearer {made.token}"} if made.token else {}
    deadline = time.monotonic() + 60
    while client.get("/readyz", headers=headers).status_code != 200:
        assert time.monotonic() < deadline, client.get("/readyz").text
        time.sleep(0.02)
    return _Closing(client)


class _Closing:
    def __init__(self, client: Any) -> None:
        self.client = client

    def __enter__(self) -> Any:
        return self.client

    def __exit__(self, *exception: object) -> None:
        self.client.__exit__(None, None, None)


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size, with next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def sent(client: Any, *pictures: tuple[str, bytes], **fields: Any) -> Any:
    return client.post(f"{API}/query", files=[("picture", one) for one in pictures] or None, data=fields)


# Answers


def test_an_upload_is_answered_as_by_the_library(client: Any, drawn: Path) -> None:
    picture = drawn / "imitations/final" / NAMES[1] / "90.png"
    answer = sent(client, ("a.png", picture.read_bytes()), k=5).json()
    with imindex.open(drawn / "audit.h5") as index:
        expected = index.query(picture, k=5, encoder={"device": "cpu"}).to_dict()
        assert answer["root"] == index.root_digest
    got = answer["result"]["queries"][0]
    assert got["kinds"] == expected["queries"][0]["kinds"]
    assert got["attribution"] == expected["queries"][0]["attribution"]
    assert answer["asked"][0]["sha256"] == hashlib.sha256(picture.read_bytes()).hexdigest()


def test_the_vector_of_an_answer_gives_the_answer_again(client: Any, drawn: Path) -> None:
    data = (drawn / "works" / NAMES[0] / "3.png").read_bytes()
    first = sent(client, ("a.png", data), k=4).json()
    asked = first["asked"][0]
    again = client.get(
        f"{API}/query", params={"vector": asked["vector"], "sha256": asked["sha256"], "name": "a.png", "k": 4}
    )
    assert again.json()["result"] == first["result"]
    text = client.get(f"{API}/query", params={"text": "a ship", "k": 4}).json()
    asked = text["asked"][0]
    again = client.get(
        f"{API}/query", params={"vector": asked["vector"], "name": asked["query"], "k": 4}
    ).json()
    assert again["result"] == text["result"]


def test_many_clients_get_their_own_answers(client: Any, drawn: Path) -> None:
    pictures = sorted((drawn / "works").rglob("*.png"))[:24]

    def ask(picture: Path) -> tuple[str, str]:
        answer = sent(client, (picture.name, picture.read_bytes()), k=1).json()
        nearest = answer["result"]["queries"][0]["kinds"]["works"]["pictures"][0]
        return nearest["path"], str(picture.relative_to(drawn))

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for found, own in pool.map(ask, pictures):
            assert found == own
    assert b'imindex_batch_size_bucket{kind="pictures",le="32.0"}' in client.get("/metrics").content


def test_one_bad_picture_does_not_cost_the_others(client: Any, drawn: Path) -> None:
    good = (drawn / "works" / NAMES[0] / "0.png").read_bytes()
    answer = sent(
        client, ("bad.png", b"<html>"), ("good.png", good), ("bomb.png", png(60_000, 60_000))
    ).json()
    assert [one["query"] for one in answer["result"]["queries"]] == ["good.png"]
    assert set(answer["result"]["rejects"]) == {"bad.png", "bomb.png"}
    assert "limit" in answer["result"]["rejects"]["bomb.png"]


def test_rows_artists_and_pictures(client: Any, drawn: Path) -> None:
    page = client.get(
        f"{API}/rows", params={"kind": "imitations", "collection": "early", "limit": 5, "offset": 2}
    ).json()
    assert page["total"] == 18 and len(page["rows"]) == 5
    row = page["rows"][0]
    assert client.get(f"{API}/rows/{row['row']}").json() == row
    picture = client.get(f"{API}/rows/{row['row']}/picture")
    assert (
        picture.content == (drawn / row["path"]).read_bytes()
        and picture.headers["content-type"] == "image/png"
    )
    assert "sandbox" in picture.headers["content-security-policy"]
    thumbnail = client.get(f"{API}/rows/{row['row']}/thumbnail", params={"side": 64})
    assert thumbnail.headers["content-type"] == "image/webp"
    from PIL import Image

    assert max(Image.open(io.BytesIO(thumbnail.content)).size) == 96
    again = client.get(
        f"{API}/rows/{row['row']}/thumbnail",
        params={"side": 64},
        headers={"If-None-Match": thumbnail.headers["etag"]},
    )
    assert again.status_code == 304
    artists = client.get(f"{API}/artists", params={"sort": "-works", "search": NAMES[3][:5].upper()}).json()
    assert [one["artist"] for one in artists["artists"]] == [NAMES[3]]
    assert artists["artists"][0]["imitations"] == {"early": 3, "final": 3}
    assert client.get(f"{API}/rows", params={"search": NAMES[2].upper()}).json()["total"] == 12


def test_a_picture_is_classified_as_by_the_library(client: Any, drawn: Path) -> None:
    picture = drawn / "imitations/final" / NAMES[1] / "90.png"
    sent_to = client.post(f"{API}/classify", files=[("picture", ("a.png", picture.read_bytes()))]).json()
    with imindex.open(drawn / "audit.h5") as index:
        expected = index.classify_pictures(picture, encoder={"device": "cpu"}).to_dict()
    assert sent_to["pictures"][0]["methods"] == expected["pictures"][0]["methods"]
    row = client.get(f"{API}/classify", params={"row": 0}).json()
    assert row["pictures"][0]["methods"] and row["index"] == "audit.h5"
    assert client.get(f"{API}/classify", params={"row": 10**6}).status_code == 404
    assert client.get(f"{API}/classify").status_code == 422
    assert client.post(f"{API}/classify", data={"text": "a"}).status_code == 422


# Limits


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({}, "one of text, row and vector"), ({"text": "a", "row": 1}, "one of"), ({"row": 10**6}, "no row"),
        ({"row": 0, "k": 5000}, "--max-k"), ({"vector": "AAAA"}, "numbers"), ({"vector": "***"}, "base64"),
        ({"row": 0, "collection": "nothing"}, "no collection"), ({"row": 0, "artist": "Nobody"}, "Nobody"),
        ({"row": "x"}, "row"), ({"text": ["a"] * 33}, "--max-pictures"),
        ({"row": 0, "confidence_level": 1}, "confidence"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(client: Any, parameters: dict[str, Any], word: str) -> None:
    answer = client.get(f"{API}/query", params=parameters)
    assert answer.status_code in (404, 422), answer.text
    assert word in answer.text, answer.text


def test_limits_name_themselves(drawn: Path) -> None:
    good = (drawn / "works" / NAMES[0] / "0.png").read_bytes()
    with started(indexes=(drawn / "audit.h5",), max_upload=5000, max_pictures=2) as client:
        large = sent(client, ("a.png", b"x" * 6000))
        assert large.status_code == 413 and large.json()["option"] == "--max-upload"
        streamed = client.post(
            f"{API}/query", content=(b"y" * 1000 for _ in range(20)),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )  # fmt: skip
        assert streamed.status_code == 413, streamed.text
        many = sent(client, *[(f"{n}.png", b"x") for n in range(3)])
        assert many.status_code == 422 and many.json()["option"] == "--max-pictures"
    with started(indexes=(drawn / "audit.h5",), queue=1) as client:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(lambda _: sent(client, ("a.png", good)).status_code, range(24)))
        assert set(codes) == {200, 429}
        assert client.get(f"{API}/query", params={"row": 0}).status_code == 200
    with started(indexes=(drawn / "audit.h5",), timeout=0.0001) as client:
        late = sent(client, ("a.png", good))
        assert (
            late.status_code == 503 and late.json()["option"] == "--timeout" and late.headers["retry-after"]
        )


@pytest.mark.parametrize(
    "body",
    [
        b"", b"--b--", b"--b\r\n", FIELD % b'form-data; name="picture"; filename="\0.png"' + b"--b--\r\n",
        FIELD % b"form-data" + b"--b--\r\n",
        b"".join(FIELD % (b'form-data; name="f%d"' % n) for n in range(10_000)) + b"--b--\r\n",
    ],
)  # fmt: skip
def test_broken_forms_are_refused(client: Any, body: bytes) -> None:
    answer = client.post(
        f"{API}/query", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 422 and answer.json()["error"], answer.text


# Who may ask


def test_only_this_machine_and_only_own_pages(client: Any, drawn: Path) -> None:
    assert client.get("/api/v1/indexes", headers={"Host": "evil.example"}).status_code == 421
    assert client.get("/api/v1/indexes", headers={"Host": "127.0.0.1.evil.example"}).status_code == 421
    for headers in (
        {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ):  # fmt: skip
        answer = client.post(f"{API}/query", data={"text": "a"}, headers=headers)
        assert answer.status_code == 403, headers
    assert client.get("/api/v1/indexes", headers={"Host": "localhost:8000"}).status_code == 200
    for path in ("/", "/ask", "/healthz", "/api/v1/indexes", "/static/app.css", "/no-such-page"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff" and "access-control-allow-origin" not in headers


def test_figures_do_not_grow_with_what_strangers_send(client: Any) -> None:
    for number in range(30):
        client.request(f"FOO{number}", f"/no-such-{number}")
        client.get(f"{API}/rows/{number}", params={"x": number})
    lines = [
        line for line in client.get("/metrics").text.splitlines() if line.startswith("imindex_requests_total")
    ]
    assert not any("FOO" in line or "no-such" in line for line in lines) and len(lines) < 60


def test_a_token_is_needed_beyond_this_machine(drawn: Path) -> None:
    failed = run("serve", "-i", drawn / "audit.h5", "--host", "0.0.0.0", code=1)
    assert "token" in failed.stderr
    with started(indexes=(drawn / "audit.h5",), host="0.0.0.0", token="0123456789abcdef") as client:
        assert client.get("/api/v1/indexes").status_code == 401
        assert (
            client.get("/api/v1/indexes", headers={"Authorization": "Bearer 0123456789abcdeg"}).status_code
            == 401
        )
        right = {"Authorization": "Bearer 0123456789abcdef", "Host": "audits.example"}
        assert client.get("/api/v1/indexes", headers=right).status_code == 200
        page = client.get("/ask?row=1", headers={"Accept": "text/html"}, follow_redirects=False)
        assert page.status_code == 303 and page.headers["location"] == "/sign-in?next=/ask%3Frow%3D1"
        assert "audit.h5" not in client.get("/sign-in").text
        wrong = client.post("/sign-in", data={"token": "no", "next": "/"}, follow_redirects=False)
        assert wrong.status_code == 401 and "set-cookie" not in wrong.headers
        for target, to in (
            ("/ask?row=1", "/ask?row=1"),
            ("//evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\\evil", "/"),
        ):
            signed = client.post(
                "/sign-in", data={"token": "0123456789abcdef", "next": target}, follow_redirects=False
            )
            assert signed.status_code == 303 and signed.headers["location"] == to
        cookie = signed.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "0123456789abcdef" not in cookie
        assert client.get("/api/v1/indexes").status_code == 200  # the client keeps the cookie


def test_pictures_stay_inside_and_are_those_of_the_index(copied: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    first, second, third = (copied / "works" / NAMES[0] / f"{n}.png" for n in range(3))
    shutil.move(first, outside / "secret.png")
    first.symlink_to(outside / "secret.png")  # the right bytes, but by a link that leads out
    second.write_bytes(third.read_bytes())  # inside, but another picture
    third.unlink()
    with started(indexes=(copied / "audit.h5",)) as client:
        rows = client.get(f"{API}/rows", params={"artist": NAMES[0], "kind": "works", "sort": "path"}).json()[
            "rows"
        ]
        at = {Path(one["path"]).name: one["row"] for one in rows}
        for name, word in (("0.png", "outside"), ("1.png", "other bytes"), ("2.png", "not there")):
            for what in ("picture", "thumbnail"):
                answer = client.get(f"{API}/rows/{at[name]}/{what}")
                assert answer.status_code == 404 and word in answer.text, (name, what, answer.text)
        assert client.get(f"{API}/rows/{at['3.png']}/picture").status_code == 200
    with started(indexes=(copied / "audit.h5",), pictures_from=(outside,)) as client:
        assert client.get(f"{API}/rows/{at['0.png']}/picture").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/api/v1/audits/../../x",
    ],
)
def test_no_other_file_is_served(client: Any, path: str) -> None:
    assert client.get(path).status_code == 404


# Replaced indexes


def test_a_removed_picture_is_gone_within_a_second(copied: Path) -> None:
    with serving("-i", copied / "audit.h5", "--device", "cpu") as service:
        rows = json.loads(service.get(f"{API}/rows?artist={NAMES[0].replace(' ', '%20')}&limit=100")[1])
        row = rows["rows"][0]["row"]
        assert service.get(f"{API}/rows/{row}/thumbnail")[0] == 200
        run("remove", "-i", copied / "audit.h5", "--artist", NAMES[0], "--yes")
        replaced = time.monotonic()
        gone = json.loads(service.get(f"{API}/rows?artist={NAMES[0].replace(' ', '%20')}")[1])
        assert time.monotonic() - replaced < 1 and gone["total"] == 0
        status, data = service.get(f"{API}/query?row=0&k=100")
        assert status == 200 and NAMES[0] not in data.decode()
        (copied / "audit.h5").rename(copied / "away.h5")
        status, data = service.get(f"{API}/query?row=0")
        assert status == 503 and "cannot be read" in data.decode()
        (copied / "audit.h5").write_bytes(b"not an index")
        assert service.get(f"{API}/rows/0")[0] == 503
        (copied / "away.h5").rename(copied / "audit.h5")
        assert service.get(f"{API}/query?row=0")[0] == 200


def test_replacements_leave_no_files_open(copied: Path) -> None:
    index, other = copied / "audit.h5", copied / "other.h5"
    shutil.copy(index, other)
    with started(indexes=(index,)) as client:

        def files() -> int:
            return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

        client.get(f"{API}/query", params={"row": 0})
        before = files()
        for n in range(30):
            shutil.copy(other, copied / "new.h5")
            (copied / "new.h5").replace(index)
            answer = client.get(f"{API}/query", params={"row": n})
            assert answer.status_code == 200
        assert client.get(API).json()["generation"] == 31
        assert files() <= before + 4


def test_it_ends_when_told_to(drawn: Path) -> None:
    with serving("-i", drawn / "audit.h5", "--device", "cpu") as service:
        code = service.stop()
        assert code == 130 and "Traceback" not in service.log.read_text()


def test_a_port_in_use_is_said(drawn: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        failed = run("serve", "-i", drawn / "audit.h5", "--port", str(taken.getsockname()[1]), code=1)
    assert "cannot be used" in failed.stderr and "--port" in failed.stderr


def test_slow_clients_do_not_stop_others(service: Served) -> None:
    port = int(service.url.rpartition(":")[2])
    slow = []
    for _ in range(50):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(b"POST /api/v1/indexes/audit/query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b")  # fmt: skip
        slow.append(one)
    assert service.get("/healthz", 2)[0] == 200 and service.get(f"{API}/query?row=0", 5)[0] == 200
    for one in slow:
        one.close()
