"""What owners allow: robots.txt against Protego and RFC 9309, headers, TDM reservations, addresses, turns, URLs."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import random
from pathlib import Path

import pytest

pytest.importorskip("httpx")

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.fetch import robots
from imindex.indexer.fetch.connection import is_public
from imindex.indexer.fetch.fetch import kind_of_reason, user_agent
from imindex.indexer.fetch.limits import Turns, backoff, retry_after
from imindex.indexer.fetch.opt_outs import read_reservations, refused_by_tag, reserved_by_header
from imindex.indexer.fetch.outcome import Transient
from imindex.indexer.fetch.signatures import no_picture, suffix_of
from imindex.indexer.fetch.url_list import read_list, requested_url, without_secrets
from tests.support.pictures import encoded, picture

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def allowed(text: str, path: str, token: str = "imindex") -> bool:
    return robots.parse(text.encode(), token).verdict(path).allowed


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("", "/a", True),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /", "/a", False),
        ("User-agent: *\nDisallow: /\nAllow: /a", "/a.jpg", True),  # longest match, whatever the order
        ("User-agent: *\nAllow: /a\nDisallow: /\n", "/b", False),
        ("User-agent: *\nAllow: /a\nDisallow: /a", "/a", True),  # equally long: allow
        ("User-agent: imindex\nAllow: /\n\nUser-agent: *\nDisallow: /", "/a", True),  # own group only
        ("User-agent: *\nDisallow: /\nUser-agent: ImIndex/2.0\nDisallow:", "/a", True),  # case, version
        ("User-agent: otherbot\nDisallow: /", "/a", True),
        ("User-agent: im\nDisallow: /", "/a", True),  # not a token of ours
        ("User-agent: otherbot\nUser-agent: imindex\nDisallow: /a", "/a", False),  # one group for both
        ("User-agent: imindex\nDisallow: /a\n\nUser-agent: x\nDisallow: /\n\nUser-agent: imindex\nDisallow: /b",
         "/b", False),  # groups of one agent are combined
        ("User-agent: *\nDisallow: /*.jpg$", "/art/1.jpg", False),
        ("User-agent: *\nDisallow: /*.jpg$", "/art/1.jpg?w=1", True),
        ("User-agent: *\nDisallow: /a*b*c", "/a-b-c-d", False),
        ("User-agent: *\nDisallow: /a*b*c", "/a-c-b", True),
        ("User-agent: *\nDisallow: /caf%C3%A9", "/café", False),
        ("User-agent: *\nDisallow: /café", "/caf%c3%a9/1", False),
        ("User-agent: *\nDisallow: /%7Eada", "/~ada/", False),
        ("User-agent: *\nDisallow: /a%2Fb", "/a/b", True),  # an escaped slash is another character
        ("\ufeffUser-agent: *\r\nDisallow: /a # not this\r\n", "/a", False),
        ("user-agent : *\rdisallow : /a\r", "/a", False),
        ("Disallow: /a", "/a", True),  # no group
        ("User-agent: *\nSitemap: https://a.example/s.xml\nDisallow: /a", "/a", False),
        ("<html>not found</html>", "/a", True),
    ],
)  # fmt: skip
def test_robots_txt_is_read_by_the_rfc(text: str, path: str, expected: bool) -> None:
    assert allowed(text, path) is expected


def test_robots_txt_in_utf16_and_with_spaces_before_its_mark_is_read() -> None:
    text = "User-agent: *\nDisallow: /a"
    for data in (
        text.encode("utf-16"),
        b"\xfe\xff" + text.encode("utf-16-be"),
        b" \xef\xbb\xbf" + text.encode(),
    ):
        assert not robots.parse(data, "imindex").verdict("/a").allowed


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a/%2e%2e/private/1", False),
        ("/a/%2E%2E/%2e/private/1", False),
        ("/%2e%2e/private/1", False),
        ("/private/%2e%2e/a", False),  # either reading may be meant
        ("/a/%2e%2e/b", True),
        ("/a?x=/%2e%2e/private", True),
        ("/a..b/private", True),
    ],
)
def test_encoded_dots_do_not_lead_around_robots_txt(target: str, expected: bool) -> None:
    assert allowed("User-agent: *\nDisallow: /private", target) is expected


def test_a_verdict_names_its_line_and_only_the_first_500_kib_count() -> None:
    rules = robots.parse(
        b"# hello\nUser-agent: *\n\nDisallow:  /private  # keep out\nCrawl-delay: 2.5", "imindex"
    )
    assert rules.verdict("/private/1").why == "line 4: Disallow: /private # keep out"
    assert rules.verdict("/public").why == "no rule applies" and rules.delay == 2.5
    padding = b"#" * (robots.MAX_BYTES - 20)
    assert robots.parse(b"User-agent: *\n" + padding + b"\nDisallow: /", "imindex").verdict("/a").allowed
    assert not robots.parse(b"User-agent: *\nDisallow: /\n" + padding, "imindex").verdict("/a").allowed


def test_patterns_of_many_stars_take_linear_time() -> None:
    text = "User-agent: *\nDisallow: /" + "*a" * 3000 + "$"
    assert allowed(text, "/" + "a" * 2000 + "b")


def test_random_files_agree_with_protego() -> None:
    protego = pytest.importorskip("protego")
    rng = random.Random(5)
    parts = [
        "a",
        "b",
        "/",
        "*",
        "$",
        "-",
        "%C3%A9",
        "é",
        "ab",
    ]  # queries: Protego rewrites them, and their length
    agents = ["*", "imindex", "IMINDEX", "otherbot"]
    compared = refused = 0
    for _ in range(1500):
        lines = []
        for _ in range(rng.randint(1, 4)):
            lines += [f"User-agent: {rng.choice(agents)}" for _ in range(rng.randint(1, 2))]
            for _ in range(rng.randint(1, 4)):
                pattern = "/" + "".join(rng.choice(parts) for _ in range(rng.randint(0, 5)))
                pattern = pattern.replace("$", "") + rng.choice(["", "", "$"])
                if "//" in pattern:  # Protego reads a host there
                    continue
                lines.append(f"{rng.choice(['Allow', 'Disallow'])}: {pattern}")
        text = "\n".join(lines)
        rules, oracle = robots.parse(text.encode(), "imindex"), protego.Protego.parse(text)
        for _ in range(8):
            path = "/" + "".join(
                rng.choice([p for p in parts if p not in "*$"]) for _ in range(rng.randint(0, 5))
            )
            if "//" in path:
                continue
            ours = rules.verdict(path).allowed
            assert ours == oracle.can_fetch(f"https://a.example{path}", "imindex"), (text, path)
            compared, refused = compared + 1, refused + (not ours)
    assert compared > 5000 and 0.1 < refused / compared < 0.9


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        (["nofollow, max-image-preview:none, all"], ""),
        (["NoAI"], "noai"),
        (["nofollow", "noimageai"], "noimageai"),
        (["noindex, nofollow"], "noindex"),
        (["none"], "none"),
        (["noimageindex"], "noimageindex"),
        (["otherbot: noindex, nofollow"], ""),
        (["otherbot: nofollow", "imindex: noindex"], "imindex: noindex"),
        (["otherbot: noindex, imindex: noindex"], "imindex: noindex"),
        (["*: noindex"], "*: noindex"),
        (["img2dataset: noimageai"], "img2dataset: noimageai"),  # the use, whoever asks
        (["unavailable_after: 25 Jun 2010 15:00:00 GMT"], "unavailable_after: 25 Jun 2010 15:00:00 GMT"),
        (["imindex: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT"],
         "imindex: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT"),
        (["otherbot: unavailable_after: 25 Jun 2010 15:00:00 GMT"], ""),
        (["unavailable_after: 2010-06-25"], "unavailable_after: 2010-06-25"),
        (["unavailable_after: 25 Jun 2990 15:00:00 GMT"], ""),
        (["noai, unavailable_after: 25 Jun 2990 15:00:00 GMT"], "noai"),
        (["unavailable_after: some day"], ""),
        (["noindexed, nonesuch"], ""),
        (["unavailable_after: 25 Jun 2990 15:00:00 GMT, noindex"], "noindex"),
        (["unavailable_after: Fri, 25 Jun 2990 15:00:00 GMT, imindex: noindex"], "imindex: noindex"),
        (["otherbot: unavailable_after: 25 Jun 2990 15:00:00 GMT, noindex"], ""),
        (["otherbot: unavailable_after: 25 Jun 2990 15:00:00 GMT, noai"], "otherbot: noai"),
        (["noindex; nofollow"], "noindex"),
        (["nofollow noindex"], "noindex"),
        (["nofollow; otherbot: noindex"], ""),
        (["'noindex'"], "noindex"),
        (["noindex:"], "noindex"),
        (["noindex=true"], "noindex"),
        (["max-image-preview: none, max-snippet: 0"], ""),
        (["bot2: noindex"], ""),
        (["index-noindex, x-noai"], ""),
    ],
)  # fmt: skip
def test_x_robots_tags(values: list[str], expected: str) -> None:
    assert refused_by_tag(values, "imindex", NOW) == expected


def test_tdm_reservations() -> None:
    assert [reserved_by_header(value) for value in (None, "1", " 1 ", "0", "")] == [
        None,
        True,
        True,
        False,
        None,
    ]
    # A host and the server behind it both send it; a quoted or a boolean value is meant as one.
    assert all(reserved_by_header(value) for value in ("1, 1", "0, 1", '"1"', "1;", "true", "?1"))
    assert reserved_by_header("0, 0") is False and reserved_by_header("10") is None
    for entry in (
        b'"tdm-reservation": true, "location": "/art/"', b'"tdm-reservation": 1.0, "location": ["/x", "/art/"]',
        b'"tdm-reservation": 1, "location": null', b'"tdm-reservation": "1", "location": "https://a.example/art"',
        b'"tdm-reservation": 1, "location": "art/"', b'"tdm-reservation": 1, "location": "/art/\\r\\n"',
    ):  # fmt: skip
        assert read_reservations(b"[{" + entry + b"}]").reserved("/art/1.jpg"), entry
    file = b'[{"location": "/art/*.jpg$", "tdm-reservation": 1}, {"location": "/b", "tdm-reservation": "1"}]'
    reservations = read_reservations(file)
    assert [reservations.reserved(path) for path in ("/art/x/1.jpg", "/b/c", "/art/1.png")] == [
        "/art/*.jpg$",
        "/b",
        "",
    ]
    for bad in (
        b"",
        b"{",
        b"[]",
        b"[3]",
        b'{"location": 5, "tdm-reservation": 1}',
        b"\xff",
        b'[{"location": "/"}]',
    ):
        assert read_reservations(bad).reserved("/a") == ""


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False),
        ("255.255.255.255", False), ("192.0.2.1", False), ("::1", False), ("::", False), ("fe80::1%eth0", False),
        ("fd00::1", False), ("ff02::1", False), ("::ffff:127.0.0.1", False), ("::ffff:169.254.169.254", False),
        ("2002:7f00:1::", False), ("64:ff9b::7f00:1", False), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_turns_keep_their_distance_and_their_number() -> None:
    """By a clock of the test: 2 at a time, one start per interval, a pause, and a larger interval."""
    time = [0.0]

    async def sleep(seconds: float) -> None:
        time[0] = max(time[0], time[0] + seconds)
        await asyncio.sleep(0)

    async def run() -> tuple[list[float], int]:
        turns = Turns(2.0, 2, asyncio.Semaphore(8), lambda: time[0], sleep)
        starts: list[float] = []
        running = most = 0

        async def ask(n: int) -> None:
            nonlocal running, most
            async with turns.turn():
                starts.append(time[0])
                running += 1
                most = max(most, running)
                if n == 2:
                    turns.pause(30.0)
                if n == 4:
                    turns.interval = 5.0
                for _ in range(20):
                    await asyncio.sleep(0)
                running -= 1

        await asyncio.gather(*map(ask, range(8)))
        turns.closed = "asked to wait"
        with pytest.raises(Transient, match="asked to wait"):
            async with turns.turn():
                pass
        return starts, most

    starts, most = asyncio.run(run())
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert most == 2 and len(starts) == 8
    assert min(gaps) >= 2.0 and max(gaps) >= 29.0 and gaps[-1] >= 5.0


def test_a_host_that_never_answers_is_left() -> None:
    async def run() -> str:
        turns = Turns(0.0, 1, asyncio.Semaphore(1))
        for _ in range(9):
            turns.note(answered=False)
        turns.note(answered=True)
        for _ in range(9):
            turns.note(answered=False)
        assert not turns.closed
        turns.note(answered=False)
        return turns.closed

    assert asyncio.run(run()) == "the host did not answer 10 times in a row"


def test_waits() -> None:
    assert [backoff(n) for n in (1, 2, 3, 20)] == [1, 2, 4, 60]
    assert [retry_after(value, NOW) for value in (None, "0", "120", "-3", "x", "Wed, 31 Dec 2025 00:00:00 GMT")] == [
        None, 0.0, 120.0, None, None, 0.0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "requested", "shown"),
    [
        ("HTTP://A.example/x#y", "http://A.example/x", "http://A.example/x"),
        ("https://a.example", "https://a.example/", "https://a.example/"),
        ("https://a.example/é b.jpg?q=ü&r=a%20b", "https://a.example/%C3%A9%20b.jpg?q=%C3%BC&r=a%20b",
         "https://a.example/%C3%A9%20b.jpg?q=%C3%BC&r=a%20b"),
        ("https://me:pw@a.example/1", "https://me:pw@a.example/1", "https://a.example/1"),
        ("https://a.example/1?w=5&X-Amz-Signature=00ff&X-Amz-Credential=me",
         "https://a.example/1?w=5&X-Amz-Signature=00ff&X-Amz-Credential=me",
         "https://a.example/1?w=5&X-Amz-Signature=removed&X-Amz-Credential=removed"),
        ("https://a.example/1?access_token=t&apikey=k&sig=s&monkey=m", None,
         "https://a.example/1?access_token=removed&apikey=removed&sig=removed&monkey=m"),
        ("nonsense", "nonsense", "nonsense"),
        ("https://a.example/1?w=5;token=t&code=c&pwd=p", None, "https://a.example/1?w=5;token=removed&code=removed&pwd=removed"),
        ("https://a.example/1?accesstoken=t&__token__=t&hdnts=t&sign=t&to%6Ben=t", None,
         "https://a.example/1?accesstoken=removed&__token__=removed&hdnts=removed&sign=removed&to%6Ben=removed"),
        ("https://[bad/1?token=t", None, "https://[bad/1?token=removed"),
        ("https://me:p/w@a.example/1", None, "https://a.example/1"),
        ("https:/me:pw@a.example/1?token=t", None, "a.example/1"),
        ("https:me:pw@a.example/1", None, "a.example/1"),
        ("https:///me:pw@a.example/1", None, "a.example/1"),
    ],
)  # fmt: skip
def test_urls(url: str, requested: str | None, shown: str) -> None:
    asked = requested_url(url)
    assert asked == (requested or url) and without_secrets(asked) == shown
    assert requested_url(asked) == asked


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("JPEG", ".jpg"), ("PNG", ".png"), ("GIF", ".gif"), ("WEBP", ".webp"), ("TIFF", ".tif"), ("BMP", ".bmp"),
     ("PPM", ".pnm"), ("ICO", ".ico"), ("JPEG2000", ".jp2"), ("AVIF", ".avif"), ("DDS", ".dds")],
)  # fmt: skip
def test_suffixes_follow_the_bytes(kind: str, suffix: str) -> None:
    assert suffix_of(encoded(picture(1), kind)[:64]) == suffix


def test_what_is_no_picture_is_said() -> None:
    for head, said in (
        (b"", "empty"), (b"<!DOCTYPE html>", "HTML"), (b" \n<html>", "HTML"), (b'{"error": 1}', "JSON"),
        (b"%PDF-1.7", "PDF"), (b"<svg xmlns='x'>", "SVG"), (b"\x1f\x8b\x08", "gzip"), (b"what", "unknown"),
    ):  # fmt: skip
        assert not suffix_of(head) and said in no_picture(head, "image/jpeg")


def test_the_user_agent_is_honest() -> None:
    assert user_agent("me@a.example").startswith("imindex/") and "+me@a.example" in user_agent("me@a.example")
    assert "no contact" in user_agent()
    for bad in ("a b", "a\r\nHost: x", "é@a.example"):
        with pytest.raises(ImindexError, match="--contact"):
            user_agent(bad)


def test_reasons_are_counted_by_kind() -> None:
    assert kind_of_reason("robots.txt of a.example: line 2: Disallow: /") == "robots.txt"
    assert kind_of_reason("HTTP 404") == "HTTP 404"
    assert kind_of_reason("not a picture: JSON (x)") == "not a picture"
    assert kind_of_reason("ReadTimeout: x") == "ReadTimeout"


def test_credentials_of_urls_in_other_columns_of_a_list_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "urls.csv").write_text(
        "url,artist,caption,thumbnail\n"
        "https://a.example/1,Ada,from https://me:canary@a.example/x,https://a.example/1?sig=canary\n"
    )
    (row,) = read_list(tmp_path / "urls.csv")
    assert "canary" not in repr(row) and dict(row.more) == {"thumbnail": "https://a.example/1"}
