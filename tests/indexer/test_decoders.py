"""Decoder processes: a crash or hang costs only the current picture, never the build."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.build.build import build
from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import pillow as rgb
from imindex.indexer.decode import pool as decoders
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.pool import Decoders
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from tests.support.builds import Counting
from tests.support.pictures import picture
from tests.support.places import ROOT

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def png(seed: int = 0, word: bytes = b"") -> bytes:
    """A picture followed by the word that `deadly` obeys."""
    out = io.BytesIO()
    picture(seed).save(out, "PNG")
    return out.getvalue() + word


HOOKS = str(ROOT / "tests" / "support")
"""Where decoder processes find the module `deadly`, whose hook is referenced by module name only."""


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(HOOKS)
    monkeypatch.setattr(decoders, "HOOK", "deadly:before")
    monkeypatch.setenv("IMINDEX_TEST_MARK", str(tmp_path / "mark"))


@pytest.fixture
def pool() -> Iterator[Decoders]:
    with Decoders(Limits(decode_timeout=1.0)) as made:
        yield made


def children() -> set[int]:
    """Child processes of this one that still exist, including zombies."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_another_process_gives_the_same_pixels(pool: Decoders) -> None:
    for word in (b"", b"x" * 3_000_000):  # more than a pipe holds
        expected = rgb.read(png(5, word), Limits())
        assert (pool(png(5, word)) == np.asarray(expected)).all()
    with pytest.raises(BadPicture, match="not a picture"):
        pool(b"text")
    with (
        pytest.raises(BadPicture, match="1920 pixels are more than the limit of 100"),
        Decoders(Limits(100)) as small,
    ):
        small(png())


@pytest.mark.usefixtures("deadly")
def test_crash_becomes_the_reason_and_decoding_continues(pool: Decoders) -> None:
    with pytest.raises(BadPicture, match=r"^the decoder crashed \(SIGSEGV\)$"):
        pool(png(1, b"CRASH"))
    assert pool(png(1)).shape == (40, 48, 3)


@pytest.mark.usefixtures("deadly")
def test_a_process_killed_for_another_reason_loses_no_picture(pool: Decoders, tmp_path: Path) -> None:
    assert pool(png(1, b"ONCE")).shape == (40, 48, 3)
    assert (tmp_path / "mark").exists()


@pytest.mark.usefixtures("deadly")
def test_hanging_decoder_is_stopped_at_the_time_limit(pool: Decoders) -> None:
    pool(png())  # started
    began = time.monotonic()
    with pytest.raises(BadPicture, match=r"^took longer than 1 s to decode$"):
        pool(png(1, b"HANG"))
    assert 1 <= time.monotonic() - began < 10
    assert pool(png(1)).shape == (40, 48, 3)


@linux
@pytest.mark.usefixtures("deadly")
def test_picture_rejected_for_lack_of_memory_is_retried(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, path = works({"works/ada": 2}), tmp_path / "i.h5"
    (root / "works/ada/0005.png").write_bytes(png(50, b"KILLED"))
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert (report.rows, report.rejected) == (2, 1)
    with Index(path) as index:
        assert index.rejects()["reason"][0].startswith("memory ran out")
    monkeypatch.setattr("imindex.indexer.decode.pool.HOOK", "")  # there is memory again
    again = build(list(find([root])), path, Counting(tiny_encoder))
    assert (again.rows, again.rejected, again.already_rejected) == (3, 0, 0)


@linux
@pytest.mark.usefixtures("deadly")
def test_memory_is_bounded() -> None:
    with (
        Decoders(Limits(max_pixels=10_000)) as pool,
        pytest.raises(BadPicture, match=r"crashed \(exit code 1"),
    ):
        pool(png(1, b"HUNGRY"))
    with Decoders(Limits()) as pool:  # whatever the limits are, nothing is granted to a small picture
        with pytest.raises(BadPicture, match=r"crashed \(exit code 1"):
            pool(png(1, b"HUNGRY"))
        assert pool(png(1)).shape == (40, 48, 3)


@linux
@pytest.mark.usefixtures("deadly")
def test_a_build_survives_its_decoders_and_leaves_none_behind(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 6}), tmp_path / "i.h5"
    for number, word in enumerate((b"CRASH", b"HANG", b"CRASH")):
        (root / f"works/ada/00{number}5.png").write_bytes(png(50 + number, word))
    before, opened = children(), descriptors()
    report = build(list(find([root])), path, Counting(tiny_encoder), limits=Limits(decode_timeout=1.0))
    assert (report.rows, report.rejected) == (6, 3)
    assert children() <= before and descriptors() <= opened
    with Index(path) as index:
        assert sorted(index.rejects()["reason"]) == ["the decoder crashed (SIGSEGV)"] * 2 + [
            "took longer than 1 s to decode"
        ]
    again = build(list(find([root])), path, Counting(tiny_encoder), limits=Limits(decode_timeout=1.0))
    assert (again.already_rejected, again.root_digest) == (3, report.root_digest)


def test_a_higher_limit_retries_pictures_rejected_by_a_lower_one(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 3}), tmp_path / "i.h5"
    (root / "works/ada/broken.png").write_text("no picture")
    picture(7, (90, 90)).save(root / "works/ada/large.png")
    picture(8, (90, 90)).save(root / "works/ada/large.jpg")

    def again(limit: int) -> tuple[int, int, int]:
        report = build(list(find([root])), path, Counting(tiny_encoder), limits=Limits(max_pixels=limit))
        return report.rows, report.rejected, report.already_rejected

    assert again(8099) == (3, 3, 0)
    assert again(8099) == (3, 3, 3)
    assert again(2000) == (3, 3, 3)  # a lower one would not have let them in
    assert again(8100) == (5, 1, 1)
    assert again(100) == (5, 1, 1)  # what is in the index stays
    with Index(path) as index:
        assert list(index.rejects()["path"]) == ["art/works/ada/broken.png"]


PARENT = """
    import signal, sys, threading
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
    sys.path[:0] = [{tests!r}]
    from imindex.indexer.decode import pool as decoders
    from imindex.indexer.decode.limits import Limits
    decoders.HOOK = "deadly:before"
    pool = decoders.Decoders(Limits())
    pool({fine!r})
    threading.Thread(target=lambda: pool({fine!r} + b"HANG"), daemon=True).start()
    busy = pool._decode({fine!r}, lambda n_pixels, each: 10**8, fresh=True)
    print(*(process._process.pid for process in pool._all), flush=True)
    {then}
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@linux
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, None])
def test_no_process_outlives_its_parent(end: signal.Signals | None, tmp_path: Path) -> None:
    then = "threading.Event().wait()" if end else "pass"
    code = textwrap.dedent(PARENT).format(tests=HOOKS, fine=png(), then=then)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None and parent.stderr is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(alive, pids)) or end is None
        time.sleep(0.3)  # the hang has begun
        if end:
            os.killpg(parent.pid, end)
        said = parent.stderr.read()  # ends when the last process that holds it has ended
        parent.wait(20)
    assert said.count("Traceback") <= (end == signal.SIGINT)  # the parent's own
    until = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids))


@pytest.mark.parametrize("first", ["", ".", "{folder}"], ids=["empty", "dot", "absolute"])
def test_an_untrusted_folder_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """A decoder process does not import from the current folder, even if that is on its parent's path."""
    for name in ("PIL", "json", "contextlib", "indexer", "imindex"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w'); raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [first.format(folder=tmp_path), *sys.path])
    with Decoders(Limits()) as pool:
        assert pool(png()).shape == (40, 48, 3)
    assert not (tmp_path / "ran").exists()
