"""Pictures by HTTP: every request is sent once and recorded, every answer is counted, and no answer is trusted."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.core.credentials import forget
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import shots
from imindex.indexer.image_api.ask import AskReport, ask, unanswered
from imindex.indexer.image_api.order import request_order
from imindex.indexer.image_api.outcome import read_answer
from imindex.indexer.image_api.request_log import LOST, read_log
from imindex.indexer.image_api.settings import ApiSettings, Asking, endpoint
from imindex.indexer.sources.find import find
from tests.support.fake_image_api import (
    ImageApi,
    Reply,
    Rule,
    always,
    close,
    cut,
    drip,
    first,
    hang,
    huge,
    image_api,
    noise,
    picture_reply,
    png,
    refusal,
    refuse_names,
)
from tests.support.places import ROOT

WANTED = shots(["Ada Example", "Bo Sample"], placebos=["Cy Invented"], per_artist=3, nameless=2)
FAST = Asking(per_minute=100_000, backoff=0.01, timeout=5, attempts=3, concurrency=2)


@pytest.fixture(autouse=True)
def _forgets() -> Any:
    yield
    forget()


def run(api: ImageApi, out: Path, asking: Asking = FAST, **settings: Any) -> AskReport:
    return ask(WANTED, out, ApiSettings(api.url, "fake-1", **settings), asking=asking, release="r", seed=1)


def manifest(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


# Requests


def test_each_picture_is_asked_for_once_and_recorded(tmp_path: Path) -> None:
    with image_api() as api:
        report = run(api, tmp_path / "r")
        again = run(api, tmp_path / "r")
    assert Counter(api.prompts()) == Counter(shot.prompt for shot in WANTED)
    assert report.outcomes["picture"] == len(WANTED) == again.there and again.requests == 0
    assert {seen.path for seen in api.seen} == {"/v1/images/generations"}
    bodies = [seen.body for seen in api.seen]
    assert all(body.keys() == {"model", "prompt", "n"} and body["n"] == 1 for body in bodies)
    log = read_log(tmp_path / "r/requests.jsonl")
    assert [one.outcome for one in log] == ["picture"] * len(WANTED)
    assert {one.reported_model for one in log} == {"fake-1"} and report.models == ("fake-1",)
    rows = manifest(tmp_path / "r")
    assert [row["prompt"] for row in rows] == [shot.prompt for shot in WANTED]
    assert all(row["seed"] == "" for row in rows), "an API gives no two pictures the same seed"
    items = list(find([tmp_path / "r/manifest.jsonl"]))
    assert Counter(item.arm for item in items) == {"own": 6, "placebo": 3, "nameless": 2}
    assert {item.seed for item in items} == {-1}


def test_settings_reach_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "key-of-the-test-0123456789")
    with image_api() as api:
        run(api, tmp_path / "r", size="64", key_env="A_KEY", send_seeds=True, response_format="b64_json")
    sent = {seen.prompt: seen for seen in api.seen}
    by_prompt = {shot.prompt: {s.seed % 2**31 for s in WANTED if s.prompt == shot.prompt} for shot in WANTED}
    for prompt, seen in sent.items():
        assert seen.body["size"] == "64x64" and seen.body["response_format"] == "b64_json"
        assert seen.body["seed"] in by_prompt[prompt]
        assert seen.headers["Authorization"] == "Bearer key-of-the-test-0123456789"
    for file in (tmp_path / "r").rglob("*"):
        if file.is_file():
            assert b"key-of-the-test" not in file.read_bytes(), file
    about = json.loads((tmp_path / "r/release.json").read_text(encoding="utf-8"))
    assert "nothing shows" in about["seeds"]


def test_names_are_interleaved_and_places_depend_on_the_name_only() -> None:
    many = shots([f"Name {n}" for n in range(20)], per_artist=10)
    placed = request_order(many, seed=3)
    assert sorted(placed, key=lambda s: s.path) == sorted(many, key=lambda s: s.path)
    for part in np.array_split(np.arange(len(placed)), 10):
        counts = Counter(placed[n].artist for n in part)
        assert max(counts.values()) <= 3 and len(counts) >= 15
    fewer = [shot for shot in many if shot.artist != "Name 7"]
    assert request_order(fewer, seed=3) == [shot for shot in placed if shot.artist != "Name 7"]
    assert request_order(many, seed=4) != placed


def test_the_pace_and_the_number_at_a_time_are_held(tmp_path: Path) -> None:
    slow: Rule = lambda seen, before: time.sleep(0.1)  # noqa: E731
    with image_api(slow) as api:
        run(api, tmp_path / "r", Asking(per_minute=1200, concurrency=3, timeout=5))
    times = [seen.at for seen in api.seen]
    assert 2 <= api.most_open <= 3
    assert max(times) - min(times) >= (len(WANTED) - 1) * 0.05 * 0.9


def test_max_requests_ends_a_run_and_the_next_goes_on(tmp_path: Path) -> None:
    with image_api() as api:
        part = run(api, tmp_path / "r", Asking(per_minute=100_000, max_requests=4))
        assert (part.requests, part.unanswered) == (4, len(WANTED) - 4)
        assert (tmp_path / "r/.unfinished").exists()
        whole = run(api, tmp_path / "r")
    assert whole.there == 4 and whole.unanswered == 0 and not (tmp_path / "r/.unfinished").exists()
    assert len(api.seen) == len(WANTED)


# Outcomes


def test_refused_and_blocked_pictures_are_outcomes_and_not_asked_again(tmp_path: Path) -> None:
    grey = png(np.full((8, 8, 3), 7, np.uint8))
    rules = (
        refuse_names("Ada"),
        lambda seen, before: refusal("moderation_blocked") if "Bo" in seen.prompt else None,
        lambda seen, before: picture_reply(grey) if "Cy" in seen.prompt else None,
    )
    with image_api(*rules) as api:
        report = run(api, tmp_path / "r")
        run(api, tmp_path / "r")
    assert report.outcomes == {"picture": 2, "refused": 3, "blocked": 6, "no picture": 0, "error": 0}
    assert len(api.seen) == len(WANTED)
    assert report.codes == {"content_policy_violation": 3, "moderation_blocked": 3, "one colour": 3}
    withheld = [row for row in manifest(tmp_path / "r") if row["blocked"]]
    assert len(withheld) == 9 and all(row["path"] == "" for row in withheld)
    notes: list[str] = []
    assert len(list(find([tmp_path / "r/manifest.jsonl"], note=notes.append))) == 2
    assert any("9 pictures are marked as blocked" in note for note in notes)


@pytest.mark.parametrize(
    ("status", "content", "outcome"),
    [
        (400, {"error": {"code": "content_policy_violation", "message": "no"}}, "refused"),
        (400, {"error": {"code": None, "type": "content_filter"}}, "refused"),
        (400, {"error": {"code": "moderation_blocked"}}, "blocked"),
        (400, {"error": {"code": "moderation_blocked", "moderation_details": {"moderation_stage": "input"}}},
         "refused"),
        (403, {"error": {"code": "Content_Policy_Violation"}}, "refused"),
        (400, {"error": {"code": "x", "inner_error": {"code": "ResponsibleAIPolicyViolation"}}}, "refused"),
        (200, {"error": {"code": "content_policy_violation"}}, "refused"),
        (200, {"data": [{"finish_reason": "content_filter"}]}, "blocked"),
        (200, {"data": [{"content_filter_results": {"violence": {"filtered": True}}}]}, "blocked"),
        (200, {"data": []}, "no picture"),
        (200, {"data": [{"b64_json": "***"}]}, "no picture"),
        (200, [1, 2], "no picture"),
        (400, {"error": {"code": "invalid_size"}}, "error"),
        (400, {"error": "text"}, "error"),
        (400, {"detail": [1]}, "error"),
        (500, {"error": {"code": "content_policy_violation"}}, "error"),
        (404, None, "error"),
        (429, {"error": {"code": "insufficient_quota"}}, "error"),
    ],
)  # fmt: skip
def test_answers_are_read(status: int, content: Any, outcome: str) -> None:
    assert read_answer(status, json.dumps(content).encode()).outcome == outcome


def test_which_answers_end_a_run_and_which_are_tried_again() -> None:
    def read(status: int, code: str = "") -> tuple[bool, bool]:
        reading = read_answer(status, json.dumps({"error": {"code": code}}).encode())
        return reading.again, reading.stops

    assert {status: read(status) for status in (400, 401, 404, 429, 500, 503, 302)} == {
        400: (False, False), 401: (False, True), 404: (False, True), 429: (True, False), 500: (True, False),
        503: (True, False), 302: (False, True),
    }  # fmt: skip
    assert read(429, "insufficient_quota") == (False, True)
    assert read_answer(400, b'{"error": {"code": "own"}}', refusal_codes=["OWN"]).outcome == "refused"
    assert read_answer(200, b'{"error": {"code": "own"}}', refusal_codes=["OWN"]).outcome == "refused"
    assert read_answer(200, b'{"error": {"code": "own"}}').outcome == "no picture"


def test_revised_prompts_are_recorded(tmp_path: Path) -> None:
    reply: Rule = lambda seen, before: picture_reply(noise(seen.prompt, before), revised=seen.prompt.upper())  # noqa: E731
    with image_api(reply) as api:
        run(api, tmp_path / "r")
    assert all(one.revised_prompt == one.prompt.upper() for one in read_log(tmp_path / "r/requests.jsonl"))


@pytest.mark.parametrize(
    ("body", "why"),
    [(b"<html>sorry</html>", "HTML"), (b"", "no b64_json nor url|neither"), (noise("x", 0)[:200], "")],
)
def test_what_is_no_picture_is_not_taken_for_one(body: bytes, why: str, tmp_path: Path) -> None:
    with image_api(always(picture_reply(body))) as api:
        report = run(api, tmp_path / "r")
    assert report.outcomes["no picture"] == len(WANTED) == len(api.seen)
    messages = {one.message for one in read_log(tmp_path / "r/requests.jsonl")}
    assert len(messages) == 1 and re.search(why, messages.pop())
    assert not list((tmp_path / "r").rglob("*.png"))


def test_pictures_keep_their_bytes_and_their_format(tmp_path: Path) -> None:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(file, "JPEG")
    with image_api(always(picture_reply(file.getvalue()))) as api:
        run(api, tmp_path / "r")
    stored = sorted((tmp_path / "r/names").rglob("*.jpg"))
    assert len(stored) == 9 and {path.read_bytes() for path in stored} == {file.getvalue()}


# Pictures behind a URL


def with_urls(api: ImageApi, **headers: str) -> Rule:
    def rule(seen: Any, before: int) -> Reply:
        path = f"/blobs/{len(api.seen)}.png"
        api.downloads[path] = Reply(body=noise(seen.prompt, before), headers=headers)
        return Reply({"data": [{"url": f"http://127.0.0.1:{api.port}{path}?sig=0123456789abcdef"}]})

    return rule


def test_a_picture_is_downloaded_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "key-of-the-test-0123456789")
    got: list[str] = []
    with image_api() as api:
        api.rules.append(with_urls(api))
        original = api.downloads.get
        api.downloads = _Downloads(api.downloads, got)  # type: ignore[assignment]
        report = run(api, tmp_path / "r", key_env="A_KEY")
    assert original is not None and report.outcomes["picture"] == len(WANTED) == len(got)
    text = (tmp_path / "r/requests.jsonl").read_text(encoding="utf-8")
    assert "0123456789abcdef?" not in text and "sig=" not in text


class _Downloads(dict):  # type: ignore[type-arg]
    def __init__(self, rows: dict[str, Reply], got: list[str]):
        super().__init__(rows)
        self._got = got

    def get(self, path: str, default: Any = None) -> Any:
        self._got.append(path)
        assert path.endswith("?sig=0123456789abcdef")
        return super().get(path.partition("?")[0], default)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://169.254.169.254/latest/meta-data/", "is http"),
        ("https://169.254.169.254/latest", "link-local"),
        ("https://10.0.0.1/a.png", "private network"),
        ("http://localhost:1/a.png", "is http"),
        ("file:///etc/passwd", "cannot be downloaded"),
        ("s3://bucket/a.png", "not a URL of the web"),
    ],
)
def test_an_answer_does_not_lead_into_the_own_network(url: str, problem: str, tmp_path: Path) -> None:
    with image_api(always(Reply({"data": [{"url": url}]}))) as api:
        report = ask(WANTED[:2], tmp_path / "r", ApiSettings(api.url, "m"), asking=FAST)
    assert report.outcomes["picture"] == 0 and report.unanswered == 2 == report.requests
    assert {problem in one.message for one in read_log(tmp_path / "r/requests.jsonl")} == {True}


# Faults


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "0"}),
        Reply({"error": {"message": "oops"}}, 500),
        Reply(body=b"<html>bad gateway</html>", status=502),
        Reply(act=cut),
        Reply(act=close),
    ],
)
def test_faults_that_pass_are_tried_again(reply: Reply, tmp_path: Path) -> None:
    one = WANTED[:1]
    with image_api(first(2, reply)) as api:
        report = ask(one, tmp_path / "r", ApiSettings(api.url, "m"), asking=FAST)
    assert report.outcomes["picture"] == 1 and report.requests == 3
    log = read_log(tmp_path / "r/requests.jsonl")
    assert [(r.attempt, r.outcome, r.final) for r in log] == [
        (1, "error", False), (2, "error", False), (3, "picture", True),
    ]  # fmt: skip


@pytest.mark.parametrize("act", [hang, drip])
def test_a_service_that_never_ends_is_left(act: Any, tmp_path: Path) -> None:
    started = time.monotonic()
    with image_api(first(1, Reply(act=act))) as api:
        report = ask(
            WANTED[:1], tmp_path / "r", ApiSettings(api.url, "m"),
            asking=Asking(per_minute=100_000, timeout=0.5, backoff=0.01),
        )  # fmt: skip
    assert report.outcomes["picture"] == 1 and time.monotonic() - started < 5
    assert read_log(tmp_path / "r/requests.jsonl")[0].message == "no whole answer in time"


def test_a_body_without_end_is_left(tmp_path: Path) -> None:
    with image_api(always(Reply(act=huge))) as api:
        report = ask(
            WANTED[:1], tmp_path / "r", ApiSettings(api.url, "m"),
            asking=Asking(per_minute=100_000, timeout=5, max_bytes=2**20),
        )  # fmt: skip
    assert (report.unanswered, report.requests) == (1, 1)
    assert "larger than 1,048,576 bytes" in read_log(tmp_path / "r/requests.jsonl")[0].message


def test_retry_after_is_heeded(tmp_path: Path) -> None:
    with image_api(first(1, Reply({}, 429, {"Retry-After": "1"}))) as api:
        ask(WANTED[:1], tmp_path / "r", ApiSettings(api.url, "m"), asking=FAST)
    assert api.seen[1].at - api.seen[0].at >= 0.95


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (refusal("invalid_api_key", 401), "refuses the key"),
        (Reply({}, 404), "no such endpoint or model"),
        (refusal("insufficient_quota", 429), "no further pictures for this account"),
        (Reply({}, 307, {"Location": "http://192.0.2.1/v1/images/generations"}), "redirects to http://192.0.2.1"),
        (Reply({}, 429, {"Retry-After": "86400"}), "asks to wait 86,400 seconds"),
    ],
)  # fmt: skip
def test_what_no_further_request_would_pass_ends_the_run(reply: Reply, message: str, tmp_path: Path) -> None:
    with image_api(always(reply)) as api:
        with pytest.raises(ImindexError, match=re.escape(message)):
            run(api, tmp_path / "r", Asking(per_minute=100_000, concurrency=1, backoff=0.01))
        assert len(api.seen) == 1
        api.rules.clear()
        assert run(api, tmp_path / "r").outcomes["picture"] == len(WANTED)


def test_a_service_that_is_down_ends_the_run_and_nothing_is_given_up(tmp_path: Path) -> None:
    many = shots([f"Name {n}" for n in range(12)], per_artist=2)
    settings_of = lambda api: ApiSettings(api.url, "m")  # noqa: E731
    asking = Asking(per_minute=100_000, attempts=1, concurrency=1)
    with image_api(always(Reply({}, 503))) as api:
        for _ in range(4):
            with pytest.raises(ImindexError, match="10 pictures in a row failed"):
                ask(many, tmp_path / "r", settings_of(api), asking=asking)
        api.rules.clear()
        assert ask(many, tmp_path / "r", settings_of(api), asking=asking).outcomes["picture"] == 24


def test_a_picture_that_always_fails_becomes_an_error(tmp_path: Path) -> None:
    rule: Rule = lambda seen, before: Reply({"error": {"code": "odd"}}, 400) if "Ada" in seen.prompt else None  # noqa: E731
    with image_api(rule) as api:
        for runs in range(1, 9):  # noqa: B007 - read below
            report = run(api, tmp_path / "r")
            if not report.unanswered:
                break
            with (tmp_path / "r/manifest.jsonl").open(encoding="utf-8") as file:
                path = next(row["path"] for row in map(json.loads, file) if row["path"])
            (tmp_path / "r" / path).unlink()  # the next run asks for it again, and the service answers
        after = len(api.seen)
        run(api, tmp_path / "r")
        named = ApiSettings(api.url, "fake-1", refusal_codes=("odd",))
    assert 3 <= runs <= 8 and report.outcomes["error"] == 3
    assert len(api.seen) == after, "an error that was given up is not asked again"
    assert len(unanswered(WANTED, tmp_path / "r", named)) == 3, "a code that is now a refusal is asked again"


# Interruptions


SCRIPT = """
import signal
import sys
from pathlib import Path
from imindex.indexer.generate.prompts import shots
from imindex.indexer.image_api.ask import ask
from imindex.indexer.image_api.settings import ApiSettings, Asking

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in what it runs in the background
wanted = shots(["Ada Example", "Bo Sample"], placebos=["Cy Invented"], per_artist=3, nameless=2)
ask(wanted, Path(sys.argv[1]), ApiSettings(sys.argv[2], "fake-1"), release="r", seed=1,
    asking=Asking(per_minute=100_000, concurrency=2, backoff=0.01, timeout=20))
"""


def test_a_run_that_is_killed_goes_on_and_says_what_was_lost(tmp_path: Path) -> None:
    slow: Rule = lambda seen, before: time.sleep(0.25)  # noqa: E731
    out = tmp_path / "r"
    with image_api(slow) as api:
        for _ in range(3):
            process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(out), api.url], cwd=ROOT)
            before = len(api.seen)
            deadline = time.monotonic() + 60
            while len(api.seen) < before + 3 and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
        known = read_log(out / "requests.jsonl")
        lost = [one for one in known if one.outcome == LOST]
        assert lost, "killed between a request and its answer"
        report = run(api, out)
    assert report.unanswered == 0 and report.lost == len(lost)
    log = read_log(out / "requests.jsonl")
    assert not Counter(api.prompts()) - Counter(one.prompt for one in log), (
        "no request is sent that is not in the log"
    )
    assert len(log) == len(WANTED) + len(lost), "only lost requests were sent again"
    assert len(manifest(out)) == len(WANTED)


def test_an_interrupted_run_writes_the_answers_that_are_on_their_way(tmp_path: Path) -> None:
    slow: Rule = lambda seen, before: time.sleep(0.4)  # noqa: E731
    out = tmp_path / "r"
    with image_api(slow) as api:
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(out), api.url], cwd=ROOT)
        while not api.seen:
            time.sleep(0.02)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    log = read_log(out / "requests.jsonl")
    assert len(log) == len(api.seen) < len(WANTED)
    assert {one.outcome for one in log} == {"picture"}


def test_a_picture_that_was_deleted_is_asked_for_again(tmp_path: Path) -> None:
    with image_api() as api:
        run(api, tmp_path / "r")
        path = tmp_path / "r" / manifest(tmp_path / "r")[0]["path"]
        path.write_bytes(b"other")
        assert run(api, tmp_path / "r").requests == 1
    assert path.read_bytes() != b"other"


# The log


def test_a_log_that_was_edited_is_refused(tmp_path: Path) -> None:
    with image_api(refuse_names("Ada")) as api:
        run(api, tmp_path / "r")
        file = tmp_path / "r/requests.jsonl"
        whole = file.read_bytes()
        lines = whole.split(b"\n")
        edits = [
            whole.replace(b"refused", b"picture", 1),
            b"\n".join(lines[:4] + lines[6:]),
            b"\n".join([*lines[2:4], *lines[:2], *lines[4:]]),
        ]
        for edited in edits:
            file.write_bytes(edited)
            with pytest.raises(ImindexError, match=r"requests\.jsonl, line \d+"):
                read_log(file)
            with pytest.raises(ImindexError, match="log"):
                run(api, tmp_path / "r")
        file.write_bytes(whole[:-20])  # a power cut in the last line
        assert run(api, tmp_path / "r").requests <= 1


def test_another_release_in_the_folder_is_refused(tmp_path: Path) -> None:
    with image_api() as api:
        run(api, tmp_path / "r")
        with pytest.raises(ImindexError, match="with other settings"):
            run(api, tmp_path / "r", size="64")


LOG_ROWS = (
    "id,time,prompt,name,arm,number,status,outcome,code,path\n"
    "1,2026-11-02T10:00:00Z,Artwork from Ada Example,Ada Example,own,0,200,picture,,0001.png\n"
    "2,2026-11-02T10:01:00Z,Artwork from Cy Invented,Cy Invented,placebo,0,400,Refused,content_policy_violation,\n"
)


def test_a_log_of_another_program_is_read(tmp_path: Path) -> None:
    csv = tmp_path / "requests.csv"
    csv.write_text(LOG_ROWS, encoding="utf-8")
    rows = read_log(csv)
    assert [(one.name, one.arm, one.outcome, one.status) for one in rows] == [
        ("Ada Example", "own", "picture", 200), ("Cy Invented", "placebo", "refused", 400),
    ]  # fmt: skip
    jsonl = tmp_path / "requests.jsonl"
    columns, *lines = LOG_ROWS.splitlines()
    jsonl.write_text(
        "".join(
            json.dumps(dict(zip(columns.split(","), line.split(","), strict=True))) + "\n" for line in lines
        ),
        encoding="utf-8",
    )
    assert read_log(jsonl) == rows


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Refused", "declined", "outcome 'declined' is unknown"),
        ("0001.png", "", "no path"),
        ("placebo,0", "placebo,-1", "number '-1' is not a whole number"),
        ("\n2,", "\n1,", "is there twice"),
        ("placebo", "plazebo", "arm 'plazebo' is unknown"),
    ],
)
def test_faults_in_a_log_of_another_program_are_named(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    csv = tmp_path / "requests.csv"
    csv.write_text(LOG_ROWS.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ImindexError, match=re.escape(message)):
        read_log(csv)


def test_asking_again_after_a_refusal_is_named(tmp_path: Path) -> None:
    csv = tmp_path / "requests.csv"
    again = "3,,Artwork from Cy Invented,Cy Invented,placebo,0,200,picture,,2.png\n"
    csv.write_text(
        LOG_ROWS.replace("number,", "number,attempt,").replace(",0,", ",0,1,")
        + again.replace(",0,", ",0,2,"), encoding="utf-8",
    )  # fmt: skip
    with pytest.raises(ImindexError, match="selects pictures by the filter"):
        read_log(csv)


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api": "http://example.org/v1"}, "Write https"),
        ({"api": "ftp://example.org"}, "not the URL of an API"),
        ({"api": "example.org"}, "not the URL of an API"),
        ({"model": " "}, "No model"),
        ({"size": "wide"}, "not a size"),
        ({"size": "99999"}, "a side"),
        ({"key_env": "sk-abc-123"}, "not the name of an environment variable"),
        ({"response_format": "png"}, "unknown"),
    ],
)
def test_settings_are_checked(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ImindexError, match=message) as caught:
        ApiSettings(**{"api": "https://example.org", "model": "m", **settings})
    assert "sk-abc" not in str(caught.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ImindexError, match="NO_SUCH_KEY is not set"):
        ApiSettings("https://example.org", "m", key_env="NO_SUCH_KEY").key({})


def test_the_endpoint_is_completed() -> None:
    whole = "https://example.org/v1/images/generations"
    assert {endpoint(whole), endpoint("https://example.org"), endpoint("https://example.org/v1/")} == {whole}
    assert endpoint("https://ada:secret@example.org/v1") == whole


def test_the_key_is_not_in_the_messages_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "echoed-0123456789")
    with image_api(always(refusal("x", 400, message="bad echoed-0123456789"))) as api:
        ask(WANTED[:1], tmp_path / "r", ApiSettings(api.url, "m", key_env="A_KEY"), asking=FAST)
    assert b"echoed" not in (tmp_path / "r/requests.jsonl").read_bytes()


def test_base64_of_a_data_url_is_read() -> None:
    data = "data:image/png;base64," + base64.b64encode(b"abc").decode()
    assert read_answer(200, json.dumps({"data": [{"b64_json": data}]}).encode()).data == b"abc"


def test_the_environment_is_untouched() -> None:
    assert "A_KEY" not in os.environ
