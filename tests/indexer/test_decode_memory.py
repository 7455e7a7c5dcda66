"""Everything that is decoded at the same time stays within one budget of memory."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from imindex.indexer.build.build import build
from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import memory, pillow
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.memory import Budget, Share
from imindex.indexer.decode.pool import Decoders, picture_of
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.decode.rendering import Rendering
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.indexer.system.memory import total_memory
from tests.support import profiles
from tests.support.builds import Counting
from tests.support.commands import run
from tests.support.pictures import picture

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and Linux counts private memory")
MB = 10**6
ADOBE, INKS, GAMMA = profiles.rgb(profiles.ADOBE, 2.2), profiles.cmyk(), profiles.grey(1.8)
PREPROCESS = Preprocess((32, 32), (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(autouse=True)
def _own_budgets() -> Iterator[None]:
    memory._budget.cache_clear()
    yield
    memory._budget.cache_clear()


def encoded(image: Image.Image, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)  # type: ignore[arg-type]
    return out.getvalue()


def deep(width: int, height: int) -> bytes:
    """A picture of 16 bits per pixel, in few bytes."""
    values = np.arange(width * height, dtype=np.uint32).reshape(height, width) // 4_096
    return encoded(Image.fromarray(values.astype(np.uint16)), "PNG")


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (FileNotFoundError, ProcessLookupError):
        return 0


class Peak:
    """The most memory that the decoders of a pool have together, in bytes, sampled."""

    def __init__(self, pool: Decoders):
        self._pool, self.bytes, self.processes = pool, 0, 0

    def watch(self, ended: threading.Event) -> None:
        while not ended.wait(0.002):
            pids = [process._process.pid for process in list(self._pool._all)]
            self.bytes = max(self.bytes, sum(map(resident, pids)))
            self.processes = max(self.processes, len(pids))


@linux
def test_decoders_together_stay_within_the_budget() -> None:
    """Six threads, with memory for two pictures; each alone takes 9 million pixels x 13 bytes in its decoder."""
    data = deep(3_000, 3_000)
    limits = Limits(decode_memory=700 * MB)
    with Decoders(limits) as pool:
        peak, ended = Peak(pool), threading.Event()
        watcher = threading.Thread(target=peak.watch, args=(ended,))
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(lambda _: pool(encoded(picture(1), "PNG")).shape, range(30)))
            idle = sum(resident(process._process.pid) for process in pool._all)
            watcher.start()
            shapes = list(threads.map(lambda _: pool(data).shape, range(12)))
        ended.set()
        watcher.join()
        share = memory.budget(limits).pixels
    assert shapes == [(3_000, 3_000, 3)] * 12
    assert peak.processes >= 4  # it is the budget that holds them back
    assert 200 * MB <= share.peak <= share.total == limits.pixel_memory
    each_idle = idle / peak.processes + 40 * MB  # with NumPy, which 16 bits need
    assert peak.bytes <= share.total + peak.processes * each_idle


@linux
@pytest.mark.parametrize(
    ("kind", "mode", "how"),
    [
        ("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "LA", {}), ("PNG", "P", {"transparency": 3}),
        ("PNG", "I;16", {}), ("TIFF", "I", {}), ("TIFF", "F", {}), ("TIFF", "CMYK", {}), ("GIF", "P", {}),
        ("JPEG", "CMYK", {"progressive": True}), ("WEBP", "RGBA", {}), ("AVIF", "RGBA", {}),
        ("JPEG2000", "RGBA", {}), ("PNG", "RGBA", {"icc_profile": ADOBE}), ("TIFF", "CMYK", {"icc_profile": INKS}),
        ("PNG", "I;16", {"icc_profile": GAMMA}), ("PNG", "P", {"transparency": 3, "icc_profile": ADOBE}),
    ],
)  # fmt: skip
def test_what_is_granted_suffices(kind: str, mode: str, how: dict[str, object]) -> None:
    """Every format and mode is decoded without asking for all memory, and to the same pixels as in this process."""
    if kind in ("AVIF", "JPEG2000", "WEBP") and not features.check(
        {"JPEG2000": "jpg_2000"}.get(kind, kind.lower())
    ):
        pytest.skip(f"this Pillow has no {kind}")
    side = 1_600
    wide = np.kron(np.random.default_rng(0).random((side // 20, side // 20, 4)), np.ones((20, 20, 1)))
    image = Image.fromarray((255 * wide).astype(np.uint8), "RGBA")
    if mode in ("I;16", "I", "F"):
        top, dtype = {"I;16": (65535, np.uint16), "I": (65535, np.int32), "F": (1, np.float32)}[mode]
        image = Image.fromarray((top * wide[..., 0]).astype(dtype))
    elif mode == "P":
        image = image.convert("RGB").quantize(16)
    else:
        image = image.convert(mode)
    data = encoded(image, kind, **how)
    limits = Limits(decode_memory=2_000 * MB)
    with Decoders(limits) as pool:
        for rendering in (Rendering(), Rendering("srgb", "accept")):
            assert (pool(data, rendering) == np.asarray(pillow.read(data, limits, rendering))).all()
    assert memory.budget(limits).pixels.peak <= 40 * side * side  # not everything


def test_a_picture_that_alone_does_not_fit_is_rejected_and_says_so() -> None:
    preprocess = PREPROCESS
    small = Limits(decode_memory=8 * MB)
    with pytest.raises(
        BadPicture, match=r"^needs \d+ MB to decode, more than the limit of 6 MB: raise --decode-mem"
    ):
        picture_of(deep(1_000, 1_000), preprocess, small)
    jpeg = encoded(picture(1, (1_600, 1_600)), "JPEG")
    with pytest.raises(BadPicture, match=r"needs \d+ MB to decode, more than the limit of 6 MB") as refused:
        picture_of(jpeg, preprocess, small)
    assert picture_of(deep(200, 200), preprocess, small).width == 200  # the decoder has gone on
    with pytest.raises(BadPicture, match="needs 3 MB to read, more than the limit of 2 MB") as unread:
        picture_of(bytes(1_400_000), preprocess, small)
    for error in (refused, unread):
        assert not Limits(decode_memory=8 * MB).outgrown(str(error.value))
        assert Limits(decode_memory=900 * MB).outgrown(str(error.value))


def test_a_build_records_it_and_retries_with_more(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 2}), tmp_path / "i.h5"
    (root / "works/ada/large.png").write_bytes(deep(1_000, 1_000))
    (root / "works/ada/long.png").write_bytes(encoded(picture(3), "PNG") + bytes(1_400_000))

    def again(megabytes: int) -> tuple[int, int, int]:
        limits = Limits(decode_memory=megabytes * MB)
        report = build(list(find([root])), path, Counting(tiny_encoder), limits=limits)
        return report.rows, report.rejected, report.already_rejected

    assert again(8) == (2, 2, 0)
    with Index(path) as index:
        reasons = sorted(reason[:9] + reason[-9:] for reason in index.rejects()["reason"])
        assert [reason.split(" ")[0] for reason in reasons] == ["needs", "needs"]
    assert again(8)[:2] == (2, 2)
    assert again(900) == (4, 0, 0)


def test_a_share_is_given_in_turn_and_waits_end_with_the_build() -> None:
    share, order, ended = Share(100), [], threading.Event()

    def take(name: str, size: int) -> None:
        with share.holding(size, ended.is_set):
            order.append(name)

    with ThreadPoolExecutor(4) as threads:
        with share.holding(60):
            started = [threads.submit(take, "large", 80)]
            while not share._queue:
                time.sleep(0.001)
            started.append(threads.submit(take, "small", 10))  # would fit, but is later
            time.sleep(0.02)
            assert order == []
        for future in started:
            future.result(5)
        assert order == ["large", "small"] and share.peak == 80
        with share.holding(60):
            waiting = threads.submit(take, "never", 80)
            ended.set()
            with pytest.raises(BadPicture, match="the build has ended"):
                waiting.result(5)
    assert not share._queue
    with pytest.raises(ValueError, match="101 bytes of 100"), share.holding(101):
        pass


def test_files_and_pixels_are_separate_shares() -> None:
    """A thread that holds a file can always wait for pixels: whoever holds pixels waits for nothing."""
    budget = Budget(10 * MB, 30 * MB)
    with ThreadPoolExecutor(8) as threads:

        def decode(_: int) -> int:
            with budget.file(2 * MB), budget.picture(20 * MB) as granted:
                return granted

        assert len(list(threads.map(decode, range(40)))) == 40
    assert budget.files.peak <= 10 * MB and budget.pixels.peak <= 30 * MB
    with budget.picture(None) as granted:
        assert granted == 30 * MB


def test_the_memory_of_the_machine_or_its_control_group(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    machine = total_memory(proc, groups)
    assert machine is None or machine > 2**28
    (groups / "user/inner").mkdir(parents=True)
    (proc / "self/cgroup").write_text("0::/user/inner\n")
    (groups / "user/inner/memory.max").write_text("max\n")
    assert total_memory(proc, groups) == machine
    (groups / "user/memory.max").write_text(f"{2**27}\n")
    assert total_memory(proc, groups) == 2**27
    (groups / "memory/old").mkdir(parents=True)
    (groups / "memory/old/memory.limit_in_bytes").write_text(f"{2**26}\n")
    (proc / "self/cgroup").write_text("4:cpu,memory:/old\n5:pids:/../../etc\n")
    assert total_memory(proc, groups) == 2**26
    assert Limits().memory <= (total_memory() or 2**50) // 4 and Limits(decode_memory=2**20).memory == 2**20


def test_the_option_sets_the_budget(works: Callable, tiny_model: str, tmp_path: Path) -> None:
    root = works({"works/ada": 1})
    (root / "works/ada/large.png").write_bytes(deep(1_000, 1_000))
    words = (
        "build",
        root,
        "-i",
        tmp_path / "i.h5",
        "--model",
        tiny_model,
        "--device",
        "cpu",
        "--decode-memory",
    )
    assert "1 rejected" in run(*words, "8MB").stdout
    assert "MB to decode, more than the limit of 6 MB" in run(
        "info", "-i", tmp_path / "i.h5", "--rejects"
    ).stdout.replace("\n", " ")
    assert "(1 unchanged, 0 rejected)" in run(*words, "900MB").stdout
    assert "is not a size" in run(*words, "much", code=2).stderr
