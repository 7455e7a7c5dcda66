"""The service when things go wrong around it: clients that stall, files that go, encoders that fail."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.artists import NAMES, draw
from imindex.retrieval.serve import connections
from imindex.retrieval.serve.app import make_app
from imindex.retrieval.serve.settings import Settings
from tests.support.browser import Served, serving
from tests.support.commands import run

testclient = pytest.importorskip("fastapi.testclient")
API = "/api/v1/indexes/audit"
HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "
TOKEN = "0123456789abcdef"


@contextlib.contextmanager
def app_of(**settings: Any) -> Iterator[Any]:
    """An application in this process, once it is ready or has failed to be."""
    made = Settings(encoder={"device": "cpu"}, **settings)
    with testclient.TestClient(
        make_app(made), base_url="http://127.0.0.1", raise_server_exceptions=False
    ) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


def until(happens: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def port_of(service: Served) -> int:
    return int(service.url.rpartition(":")[2])


def closed_after(connection: socket.socket, seconds: float) -> bytes:
    """Return what a connection got before the service closed it."""
    connection.settimeout(seconds)
    got = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            got += part
    return got


# Clients


def test_a_connection_that_says_nothing_or_too_little_is_closed(service: Served) -> None:
    with contextlib.ExitStack() as opened:
        silent, slow, answered = (
            opened.enter_context(socket.create_connection(("127.0.0.1", port_of(service)))) for _ in range(3)
        )
        slow.sendall(HEAD)
        # The answer does not wait for this body, so it may not take for ever, either.
        answered.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n",
        )
        begun, ended = time.monotonic(), threading.Event()

        def trickle() -> None:
            while not ended.wait(0.5):
                with contextlib.suppress(OSError):
                    slow.sendall(b"a")
                    answered.sendall(b"a")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            assert closed_after(silent, 30) == b"" and closed_after(slow, 30) == b""
            assert time.monotonic() - begun >= connections.HEAD_SECONDS - 1
            assert closed_after(answered, 30).startswith(b"HTTP/1.1 200")
            assert time.monotonic() - begun < 2.5 * connections.HEAD_SECONDS
        finally:
            ended.set()
            thread.join()


def test_silent_connections_do_not_shut_out_others(drawn: Path) -> None:
    most = connections.most_connections()
    with serving("-i", drawn / "audit.h5", "--device", "cpu") as service, contextlib.ExitStack() as opened:
        first = opened.enter_context(socket.create_connection(("127.0.0.1", port_of(service))))
        for _ in range(most + 20):
            opened.enter_context(socket.create_connection(("127.0.0.1", port_of(service))))
        with socket.create_connection(("127.0.0.1", port_of(service))) as further:
            got = closed_after(further, 10)
        assert got.startswith(b"HTTP/1.1 503") and b"connections already" in got
        assert closed_after(first, 30) == b""  # those that say nothing end by themselves
        until(lambda: _status(service) == 200, 30)
        assert "Traceback" not in service.log.read_text()


def _status(service: Served) -> int:
    try:
        return service.get("/healthz", 2)[0]
    except OSError:
        return 0


def test_a_body_that_does_not_end_is_refused_by_name(drawn: Path) -> None:
    with serving("-i", drawn / "audit.h5", "--device", "cpu", "--timeout", "1") as service:
        for path in (f"{API}/query", "/api/v1/audits/x/decisions", "/sign-in"):
            with socket.create_connection(("127.0.0.1", port_of(service))) as slow:
                slow.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                    "Connection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n--b".encode()
                )
                got = closed_after(slow, 30)
            assert re.match(rb"HTTP/1.1 (408|404)", got) and b'"error"' in got, (path, got)
        # One that goes away is no error of the service.
        with socket.create_connection(("127.0.0.1", port_of(service))) as gone:
            gone.sendall(
                f"POST {API}/query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b".encode()
            )
        assert service.get("/readyz")[0] == 200 and "Traceback" not in service.log.read_text()


def test_other_sites_may_link_here_and_embed_nothing(drawn: Path) -> None:
    with app_of(indexes=(drawn / "audit.h5",)) as client:
        for site in ("cross-site", "same-site"):
            link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
            assert client.get("/ask?row=0", headers=link).status_code == 200
            for mode, destination in (
                ("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script"),
            ):  # fmt: skip
                embedded = {
                    "Sec-Fetch-Site": site,
                    "Sec-Fetch-Mode": mode,
                    "Sec-Fetch-Dest": destination,
                }
                assert client.get(f"{API}/rows/0/thumbnail", headers=embedded).status_code == 403, embedded
        own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        assert client.get(f"{API}/rows/0/thumbnail", headers=own).status_code == 200


def test_strangers_learn_nothing_from_open_paths(drawn: Path) -> None:
    with app_of(indexes=(drawn / "audit.h5",), host="0.0.0.0", token=TOKEN) as client:
        ours = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers=ours).status_code == 200
        signed = client.post(
            "/sign-in", data={"token": TOKEN}, headers={"Origin": "https://testserver", "Host": "testserver"},
            follow_redirects=False,
        )  # fmt: skip
        assert "Secure" in signed.headers["set-cookie"]


def test_what_waits_is_told_to_those_with_the_token_only(copied: Path) -> None:
    with app_of(indexes=(copied / "audit.h5",), host="0.0.0.0", token=TOKEN) as client:
        (copied / "audit.h5").unlink()
        stranger, ours = (
            client.get("/readyz", headers=headers) for headers in ({}, {"Authorization": f"Bearer {TOKEN}"})
        )
        assert stranger.status_code == ours.status_code == 503
        assert stranger.json() == {"status": "waiting"}
        assert "audit.h5" in ours.json()["waits_for"][0] and str(copied) not in ours.text


def test_more_files_than_are_read_name_the_limit(drawn: Path) -> None:
    with app_of(indexes=(drawn / "audit.h5",), max_pictures=2) as client:
        for n in (3, 4, 20):
            answer = client.post(f"{API}/query", files=[("picture", ("a.png", b"x")) for _ in range(n)])
            assert answer.status_code == 422 and answer.json()["option"] == "--max-pictures", n


# Files


def test_a_folder_of_audits_that_goes_and_comes_back_is_watched_again(audited: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    audited.rename(shelf / "first")
    with serving("--audit", shelf, "--device", "cpu") as service:

        def audits() -> list[dict[str, Any]]:
            listed: list[dict[str, Any]] = json.loads(service.get("/api/v1/audits")[1])["audits"]
            return listed

        assert [one["state"] for one in audits()] == ["finished"]
        shelf.rename(tmp_path / "away")
        until(lambda: not audits(), 10)
        (tmp_path / "away").rename(shelf)
        until(lambda: [one["state"] for one in audits()] == ["finished"], 10)
        shutil.copytree(shelf / "first/plan-audit", shelf / "second")
        until(lambda: len(audits()) == 2, 10)
        until(lambda: service.get("/readyz")[0] == 200, 10)
        for text in ('{"digest": 1}', "{"):
            (shelf / "second/report.json").write_text(text)
            damaged = next(one for one in audits() if one["id"] == "second")
            assert damaged["state"] == "unreadable" and damaged["reason"]
            assert str(shelf) not in damaged["reason"] and str(tmp_path) not in damaged["reason"]
        assert "Traceback" not in service.log.read_text()


def test_what_was_computed_on_a_replaced_index_is_not_answered(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that waits while a picture is removed must not show it."""
    from imindex.retrieval.search.prepared import Prepared

    index, entered, go = copied / "audit.h5", threading.Event(), threading.Event()
    plain = Prepared.answer

    def held(self: Prepared, *arguments: Any, **options: Any) -> Any:
        made = plain(self, *arguments, **options)
        entered.set()
        assert go.wait(30)
        return made

    with app_of(indexes=(index,)) as client, concurrent.futures.ThreadPoolExecutor() as pool:
        monkeypatch.setattr(Prepared, "answer", held)
        asked = pool.submit(client.get, f"{API}/query", params={"row": 0})
        assert entered.wait(30)
        run("remove", "-i", index, "--artist", NAMES[0], "--yes")
        go.set()
        answer = asked.result(30)
        assert answer.status_code == 503 and "replaced" in answer.json()["error"], answer.text
        assert answer.headers["retry-after"] == "1"
        again = client.get(f"{API}/query", params={"row": 0, "k": 100})
        assert again.status_code == 200 and NAMES[0] not in again.text


def test_encoders_of_indexes_that_went_are_let_go(copied: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    for number in range(4):
        path = tmp_path / "few/works" / NAMES[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(NAMES[number % 2], seed=number, size=64).save(path)
    imindex.build(tmp_path / "few", other, model="demo-style", device="cpu", precision="fp32")
    with app_of(indexes=(copied / "audit.h5",)) as client:
        before = _encoder_threads()
        other.replace(copied / "audit.h5")
        until(lambda: client.get(API).json()["encoder_state"] == "ready")
        until(lambda: client.get(f"{API}/query", params={"text": "a"}).status_code in (200, 422))
        until(lambda: len(_encoder_threads()) == len(before) and _encoder_threads() != before, 20)


def _encoder_threads() -> set[int | None]:
    return {thread.ident for thread in threading.enumerate() if thread.name.startswith("encoder ")}


def test_a_decision_is_on_the_pair_that_was_looked_at(audited: Path) -> None:
    with app_of(audits=(audited,)) as client:
        base = "/api/v1/audits/plan-audit"
        one, other = client.get(f"{base}/candidates").json()["candidates"][:2]

        def decide(**changed: Any) -> Any:
            decision = {
                "release": one["release"], "picture": one["pair"]["imitation"], "copy": False, "by": "Eve Example",
                "imitation_sha256": one["pair"]["imitation_sha256"], "work_sha256": one["pair"]["work_sha256"],
            }  # fmt: skip
            return client.post(f"{base}/decisions", json={**decision, **changed})

        stale = decide(work_sha256=other["pair"]["work_sha256"])
        assert stale.status_code == 409 and "another pair" in stale.json()["error"]
        assert decide(work_sha256="x").status_code == 422 and decide(work_sha256=None).status_code == 422
        assert not [e for e in client.get(f"{base}/register").json()["entries"] if e.get("decision")]
        assert decide().status_code == 200
        (entry,) = [e for e in client.get(f"{base}/register").json()["entries"] if e.get("decision")]
        assert entry["decision"]["work_sha256"] == one["pair"]["work_sha256"]
        assert entry["decision"]["decided"] == "rejected" and entry["decision"]["by"] == "Eve Example"
        # Several people at a time: each decision is recorded, or refused while another is being written.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(lambda n: decide(by=f"Person {n}").status_code, range(16)))
        assert set(codes) <= {200, 409}
        entries = client.get(f"{base}/register").json()["entries"]
        assert len([e for e in entries if e.get("decision")]) == 1 + codes.count(200)


def test_a_decision_that_cannot_be_written_is_said(audited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(30, "Read-only file system", str(audited))

    with app_of(audits=(audited,)) as client:
        one = client.get("/api/v1/audits/plan-audit/candidates").json()["candidates"][0]
        monkeypatch.setattr("imindex.retrieval.serve.routes.audits.api.confirm_copies", refused)
        decision = {
            "release": one["release"], "picture": one["pair"]["imitation"], "copy": True, "by": "Eve Example",
            "imitation_sha256": one["pair"]["imitation_sha256"], "work_sha256": one["pair"]["work_sha256"],
        }  # fmt: skip
        answer = client.post("/api/v1/audits/plan-audit/decisions", json=decision)
        assert answer.status_code == 409 and "Read-only" in answer.text and str(audited) not in answer.text


def test_a_failure_of_the_service_itself_has_the_form_of_a_problem(
    drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a secret path /home/somebody")

    with app_of(indexes=(drawn / "audit.h5",)) as client:
        monkeypatch.setattr("imindex.retrieval.serve.rows.Rows.page", broken)
        answer = client.get(f"{API}/rows")
        assert answer.status_code == 500 and "log" in answer.json()["error"] and "secret" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]


# Encoders and comparisons


def test_an_encoder_that_cannot_be_loaded_is_said_whatever_it_raises(
    drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imindex.retrieval import api

    def load() -> api.Encoder:
        raise KeyError("a library's own error")

    monkeypatch.setattr(api.OpenIndex, "encoder_loader", lambda *_: load)
    with app_of(indexes=(drawn / "audit.h5",)) as client:
        assert "own error" in client.get("/readyz").json()["failed"][0]
        asked = client.get(f"{API}/query", params={"text": "a"})
        assert asked.status_code == 503 and "own error" in asked.json()["error"]
        assert client.get(f"{API}/query", params={"row": 0}).status_code == 200


def test_a_failed_forward_pass_costs_its_own_request_only(
    drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imindex.retrieval import api

    plain = api.Encoder.encode_texts

    def sometimes(self: api.Encoder, texts: Any) -> Any:
        if "poison" in texts:
            raise RuntimeError("the device is lost")
        return plain(self, texts)

    with app_of(indexes=(drawn / "audit.h5",)) as client:
        monkeypatch.setattr(api.Encoder, "encode_texts", sometimes)
        texts = ["a", "poison", "b", "poison", "c", "d"] * 4
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda text: client.get(f"{API}/query", params={"text": text}), texts))
        for text, answer in zip(texts, answers, strict=True):
            assert answer.status_code == (503 if text == "poison" else 200), (text, answer.text)
            assert text != "poison" or "device is lost" in answer.json()["error"]


def test_a_comparison_that_takes_longer_than_a_request_is_computed_once(
    audited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imindex.retrieval import api

    plain, calls, go = api.compare, [], threading.Event()

    def slow(*words: Any, **options: Any) -> Any:
        calls.append(words)
        assert go.wait(60)
        return plain(*words, **options)

    monkeypatch.setattr("imindex.retrieval.serve.routes.audits.api.compare", slow)
    ask = {"base": "plan-audit:early", "new": "plan-audit:final"}
    with app_of(audits=(audited,), timeout=0.5) as client:
        late = client.get("/api/v1/compare", params=ask)
        assert (
            late.status_code == 503 and late.json()["option"] == "--timeout" and late.headers["retry-after"]
        )
        assert client.get("/api/v1/compare", params=ask).status_code == 503
        go.set()
        until(lambda: client.get("/api/v1/compare", params=ask).status_code == 200)
        assert len(calls) == 1
        # A failure is not kept.
        failures = [ImindexError("no"), None]

        def fails_first(*words: Any, **options: Any) -> Any:
            failure = failures.pop(0)
            if failure:
                raise failure
            return plain(*words, **options)

        monkeypatch.setattr("imindex.retrieval.serve.routes.audits.api.compare", fails_first)
        ask["fail_if"] = "increased > 0"
        assert client.get("/api/v1/compare", params=ask).status_code == 422
        until(lambda: client.get("/api/v1/compare", params=ask).status_code != 503)
        assert not failures


@pytest.mark.parametrize("n", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_replacements_leave_neither_files_nor_memory_maps(copied: Path, n: int) -> None:
    index, other = copied / "audit.h5", copied / "other.h5"
    shutil.copy(index, other)
    with app_of(indexes=(index,)) as client:

        def maps() -> int:
            return Path("/proc/self/maps").read_text().count("audit.h5")

        if not Path("/proc/self/maps").exists():
            pytest.skip("this system does not list memory maps")
        client.get(f"{API}/query", params={"row": 0})
        before = maps()
        for number in range(n):
            shutil.copy(other, copied / "new.h5")
            (copied / "new.h5").replace(index)
            assert client.get(f"{API}/query", params={"row": number % 20}).status_code in (200, 503)
            client.get(f"{API}/rows")
        until(lambda: maps() <= before + 1, 20)
        assert client.get(API).json()["generation"] > n
