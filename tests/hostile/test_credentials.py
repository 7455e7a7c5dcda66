"""Credentials reach requests, and nothing else: no index, log, output, report or error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imindex.indexer.core import credentials
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.secrets import public_argument, public_url, split_secrets, without_secrets
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from tests.support.objects import ACCESS, BUCKET, S3, SECRET, Fault, FaultyProxy
from tests.support.pictures import encoded, picture
from tests.support.places import ROOT

CANARY = "canary-2b7e151628aed2a6"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    credentials.forget()
    yield
    credentials.forget()


SAS = "sv=2024-01-01&st=2026-01-01&se=2026-12-31&sr=c&sp=rl&sig="
URLS = [
    (f"https://ada:{CANARY}@example.org/a.jpg", "https://example.org/a.jpg"),
    (f"https://{CANARY}@example.org/a.jpg", "https://example.org/a.jpg"),
    (f"https://ada:x%40{CANARY}@example.org:8443/a.jpg?id=5", "https://example.org:8443/a.jpg?id=5"),
    (f"https://ada:{CANARY}/x@example.org/a.jpg", "https://example.org/a.jpg"),
    (f"s3://AKIA{CANARY}:{CANARY}@bucket/a b.jpg", "s3://bucket/a b.jpg"),
    (f"https://b.s3.amazonaws.com/k?X-Amz-Algorithm=A&X-Amz-Credential={CANARY}&X-Amz-Signature={CANARY}",
     "https://b.s3.amazonaws.com/k"),
    (f"https://b.s3.amazonaws.com/k?AWSAccessKeyId={CANARY}&Expires=1&Signature={CANARY}", "https://b.s3.amazonaws.com/k"),
    (f"https://storage.googleapis.com/b/k?X-Goog-Signature={CANARY}&id=7", "https://storage.googleapis.com/b/k?id=7"),
    (f"https://a.blob.core.windows.net/c/k.jpg?{SAS}{CANARY}", "https://a.blob.core.windows.net/c/k.jpg"),
    (f"az://c/k.jpg?{SAS}{CANARY}", "az://c/k.jpg"),
    (f"https://d.cloudfront.net/k?Policy={CANARY}&Signature={CANARY}&Key-Pair-Id=K", "https://d.cloudfront.net/k"),
    (f"https://host/k?token={CANARY}", "https://host/k"), (f"https://host/k?api_key={CANARY}&w=1", "https://host/k?w=1"),
    (f"https://host/k?access_token={CANARY}", "https://host/k"), (f"https://host/k?to%6ben={CANARY}", "https://host/k"),
    (f"https://host/k?apikey={CANARY}", "https://host/k"), (f"https://host/k?auth={CANARY}", "https://host/k"),
    (f"https://host/k?x=1;token={CANARY}", "https://host/k?x=1"),
    (f"https://host/k?w=1#access_token={CANARY}", "https://host/k?w=1"),
    (f"hf://user:{CANARY}@datasets/o/r/k.jpg", "hf://datasets/o/r/k.jpg"),
    ("abfss://container@account.dfs.core.windows.net/k.jpg", "abfss://container@account.dfs.core.windows.net/k.jpg"),
    (f"s3://AKIA:{CANARY}/+/x@bucket/a@b.jpg", "s3://bucket/a@b.jpg"), ("https://host:80/a@b", "https://host:80/a@b"),
    ("s3://bucket/what?.jpg", "s3://bucket/what?.jpg"), ("s3://bucket/a@b:c.jpg", "s3://bucket/a@b:c.jpg"),
    ("https://host/iiif/5/full/max/0/default.jpg?size=9&keyword=x&tokens=2",
     "https://host/iiif/5/full/max/0/default.jpg?size=9&keyword=x&tokens=2"),
    ("https://host/a%20b.jpg", "https://host/a%20b.jpg"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "public"), URLS)
def test_the_public_form_of_a_url(url: str, public: str) -> None:
    assert public_url(url) == public
    assert public_url(public) == public
    assert CANARY not in public_url(url)
    assert CANARY not in repr(split_secrets(url))
    assert CANARY not in public_argument(url) + public_argument(f"art={url}") + public_argument(
        f"--root=art={url}"
    )
    assert CANARY not in without_secrets(f"cannot read {url.replace(' ', '%20')}, sorry", {})


def test_secrets_of_the_environment_are_taken_out_of_texts() -> None:
    environment = {
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "HF_TOKEN": "hf_abcdefgh",
        "HOME": "/home/ada",
        "X_TOKEN": "on",
    }
    assert (
        without_secrets(f"said {CANARY} and hf_abcdefgh on /home/ada", environment)
        == "said *** and *** on /home/ada"
    )


def found(canary: str, *folders: Path) -> list[Path]:
    """Return the files below folders that contain a text, in UTF-8 or UTF-16."""
    needles = canary.encode(), canary.encode("utf-16-le")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if any(needle in path.read_bytes() for needle in needles)]


def build(folder: Path, endpoint: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a build in a process of its own, so that its command line is in the log."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    (folder / "tmp").mkdir(exist_ok=True)
    quick = {"IMINDEX_REMOTE_BACKOFF": "0.01", "IMINDEX_REMOTE_ATTEMPTS": "2", "IMINDEX_REMOTE_TIMEOUT": "1"}
    own |= {**quick, "AWS_ENDPOINT_URL": endpoint, "TMPDIR": str(folder / "tmp"), **environment}
    return subprocess.run(
        [sys.executable, "-m", "imindex", *words],
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_in_a_command_line_is_used_and_not_stored(s3: S3, tmp_path: Path, tiny_model: str) -> None:
    key = f"{tmp_path.name}/works/Ada/1.png"
    s3.write(key, encoded(picture(1), "PNG"))
    url = f"s3://{ACCESS}:{SECRET}@{BUCKET}/{tmp_path.name}"
    words = ("-i", "i.h5", "--model", tiny_model, "--device", "cpu", "--json")
    with FaultyProxy(s3.port) as proxy:
        done = build(tmp_path, proxy.endpoint, "--debug", "build", url, "--root", f"art={url}", *words)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert found(SECRET, tmp_path) == [] and found(ACCESS, tmp_path) == []
        with Index(tmp_path / "i.h5") as index:
            assert f"build s3://{BUCKET}/{tmp_path.name} " in index.log()[-1]["command"]
            assert index.roots == {"art": f"s3://{BUCKET}/{tmp_path.name}"}
        # A store that cannot be read: the traceback that --debug shows has no credential either.
        proxy.faults.append(Fault("503", times=-1, contains=".png"))
        done = build(tmp_path, proxy.endpoint, "--debug", "build", url, "--rehash", *words)
        assert done.returncode == 1 and "503" in done.stderr
        assert "Traceback" in done.stderr, "--debug shows one"
        assert SECRET not in done.stdout + done.stderr
        assert found(SECRET, tmp_path) == []


@pytest.mark.parametrize("kind", ["503", "cut", "short", "length", "etag", "hang", "reset", "wrong key"])
def test_no_fault_shows_a_credential(
    kind: str, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import traceback

    from imindex.indexer.sources.read import read_location

    s3.write(f"{tmp_path.name}/works/Ada/1.png", encoded(picture(1, (400, 400)), "PNG"))
    secret = SECRET if kind != "wrong key" else f"{CANARY}-wrong"
    with FaultyProxy(s3.port) as proxy:
        for name, value in {**s3.environment(proxy.endpoint), "AWS_SECRET_ACCESS_KEY": secret}.items():
            monkeypatch.setenv(name, value)
        for name, value in (("BACKOFF", "0.01"), ("ATTEMPTS", "2"), ("TIMEOUT", "0.3")):
            monkeypatch.setenv(f"IMINDEX_REMOTE_{name}", value)
        for contains in ("list-type", ".png"):
            proxy.faults = [Fault(kind, times=-1, contains=contains, seconds=1)]
            url = f"s3://{BUCKET}/{tmp_path.name}/works"
            try:
                if contains == ".png":
                    read_location(f"{url}/Ada/1.png")
                else:
                    list(find([url]))
            except ImindexError as error:
                shown = "".join(traceback.format_exception(error)) + repr(error) + caplog.text
                assert secret not in shown and SECRET not in shown
                assert error.__context__ is None or secret not in repr(error.__context__)
            else:
                assert kind in ("etag", "short", "length", "cut"), (
                    "a listing has no etag, and bodies may be short"
                )


def test_a_plan_with_credentials_is_refused(tmp_path: Path) -> None:
    from imindex.retrieval.audit.plan import read_plan
    from tests.support.audits import PLAN

    plan = tmp_path / "plan.toml"
    plan.write_text(f'{PLAN.format(encoder="demo")}[works]\ntested = "s3://{ACCESS}:{CANARY}@bucket/works"\n')
    assert CANARY in plan.read_text()
    with pytest.raises(ImindexError, match="carries credentials") as raised:
        read_plan(plan)
    assert CANARY not in str(raised.value)


def test_remote_libraries_are_not_loaded_before_they_are_needed() -> None:
    code = (
        "import sys, imindex.indexer.sources.find, imindex.indexer.sources.read, imindex.indexer.remote.objects\n"
        "print([name for name in ('obstore', 'fsspec', 's3fs', 'httpx', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
