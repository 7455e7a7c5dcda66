"""Push and pull against a local stand-in for a hub. The real hub is never asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

import imindex
from imindex.indexer.core.errors import ImindexError
from tests.support.fake_hub import Hub, fake_hub
from tests.support.places import child_environment


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with fake_hub() as made:
        yield made


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(built, tmp_path / "i.h5"))


def command(hub: Hub, folder: Path, *words: object, code: int = 0, token: str = "hf_secret") -> str:
    """Run a command in a process of its own, because the library reads the address when it is imported."""
    environment = child_environment(
        HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_TOKEN=token, HF_HOME=str(folder / "home"),
        HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1", NO_PROXY="127.0.0.1",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "imindex", *map(str, words)], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert not token or token not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_an_index_goes_there_and_comes_back(hub: Hub, index: Path, tmp_path: Path) -> None:
    said = command(hub, tmp_path, "push", "me/audit", "-i", index, "--license", "other", "--dry-run")
    assert "Nothing was uploaded" in said and not hub.seen
    command(
        hub, tmp_path, "push", "me/audit", "-i", index, "--license", "cc-by-4.0", "--title", "A | [title](x)"
    )
    assert hub.private is True and set(hub.commits[-1]) == {"README.md", "index.h5", "items.parquet"}
    assert hub.commits[-1]["index.h5"] == index.read_bytes()
    card = hub.commits[-1]["README.md"].decode()
    with imindex.open(index) as opened:
        root, rows = opened.root_digest, len(opened)
        assert root in card and "not proof" in card and 'license: "cc-by-4.0"' in card
        assert "\\| \\[title\\]\\(x\\)" in card
    (tmp_path / "t.parquet").write_bytes(hub.commits[-1]["items.parquet"])
    assert pyarrow.parquet.read_table(tmp_path / "t.parquet").num_rows == rows

    said = command(hub, tmp_path, "pull", "me/audit", "-o", "back.h5", "--json")
    got = json.loads(said[said.index("{") :])
    assert got["root"] == got["stated"] == root and got["rows"] == rows
    assert (tmp_path / "back.h5").read_bytes() == index.read_bytes()
    assert "is there already" in command(hub, tmp_path, "pull", "me/audit", "-o", "back.h5", code=1)
    assert "no such revision" in command(hub, tmp_path, "pull", "me/audit", "--revision", "v9", code=1)


def test_what_comes_damaged_or_is_not_what_the_card_says_is_not_kept(
    hub: Hub, index: Path, tmp_path: Path
) -> None:
    command(hub, tmp_path, "push", "me/audit", "-i", index, "--license", "other", "--no-table")
    hub.corrupt = True
    said = command(hub, tmp_path, "pull", "me/audit", "-o", "new.h5", code=1)
    assert "damaged" in said and not (tmp_path / "new.h5").exists()
    hub.corrupt = False
    shutil.rmtree(tmp_path / "home")
    with imindex.open(index) as opened:
        root = opened.root_digest
    hub.commits[-1]["README.md"] = hub.commits[-1]["README.md"].replace(root.encode(), b"0" * 64)
    said = command(hub, tmp_path, "pull", "me/audit", "-o", "new.h5", code=1)
    assert "000000000000" in said and not (tmp_path / "new.h5").exists()
    assert not list(tmp_path.glob(".imindex-pull-*"))


@pytest.mark.parametrize(
    ("status", "word"), [(401, "hf auth login"), (403, "may write"), (404, "does not exist"), (429, "too often"),
                         (500, "try again later")],
)  # fmt: skip
def test_refusals_are_said(hub: Hub, index: Path, tmp_path: Path, status: int, word: str) -> None:
    hub.status = status
    assert word in command(hub, tmp_path, "push", "me/audit", "-i", index, "--license", "other", code=1)


def test_names_from_a_hub_are_no_paths(hub: Hub, index: Path, tmp_path: Path) -> None:
    command(hub, tmp_path, "push", "me/audit", "-i", index, "--license", "other", "--no-table")
    hub.extra_names = ("../../evil", "/etc/passwd")
    command(hub, tmp_path, "pull", "me/audit", "-o", "new.h5")
    hub.commits[-1].pop("index.h5")
    hub.commits.append(hub.commits[-1])
    assert "holds no index.h5" in command(hub, tmp_path, "pull", "me/audit", "-o", "other.h5", code=1)
    for name in ("../x", "a/b/c", "a/..", "https://evil.example/x", "a"):
        assert "OWNER/NAME" in command(hub, tmp_path, "pull", name, "-o", "other.h5", code=1)


def test_a_hub_that_is_not_there(hub: Hub, index: Path, tmp_path: Path) -> None:
    gone = Hub(url="http://127.0.0.1:9")
    assert "cannot be reached" in command(gone, tmp_path, "pull", "me/audit", "-o", "n.h5", code=1)


def test_offline_is_said(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with imindex.open(index) as opened, pytest.raises(ImindexError, match="licence"):
        opened.push("me/audit", license=" ")
