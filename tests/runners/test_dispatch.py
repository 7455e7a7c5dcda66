"""The loop of a cluster build over a made-up cluster: the same root, whatever fails, in whatever order answers come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imindex.indexer.build import build as build_module
from imindex.indexer.build.build import BuildReport, Stopped, build
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.limits import Limits
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.runners.dispatch import Dispatcher, Patience
from imindex.indexer.runners.workers import DecodeWorker
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index
from tests.support.builds import digest
from tests.support.fake_cluster import REFERENCE, FakeEngine, Faults, OfBatch
from tests.support.pictures import picture

BATCH = 8
PATIENCE = Patience(silence=6, start=60, chunk=40, batch=40, empty=400)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """Pictures of two releases and works: repeated, black, unreadable, in several formats."""
    root = tmp_path_factory.mktemp("pictures")
    files: list[bytes] = []
    for n in range(64):
        folder = root / ("works/ada", "imitations/r1/ada", "works/bo", "control")[n % 4]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{n:03d}.jpg"
        if n % 11 == 5:
            path.write_bytes(b"no picture %d" % n)
        elif n % 13 == 9:
            path.write_bytes(files[n // 2])
        elif n % 8 in (5, 2) and n < 32:
            Image.new("RGB", (20 + n, 30)).save(path)
        else:
            picture(n).save(path)
        files.append(path.read_bytes())
    (root / "works/ada/gone.jpg").symlink_to(root / "nowhere")
    return list(find([root]))


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Encoder) -> Callable[[], OfBatch]:
    return lambda: OfBatch(tiny_encoder.info, BATCH)


@pytest.fixture(scope="module")
def decoder(tiny_encoder: Encoder) -> Iterator[DecodeWorker]:
    worker = DecodeWorker(tiny_encoder.info.preprocess, Limits(), 1)
    yield worker
    worker.close()


@pytest.fixture
def commits_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "COMMIT_SECONDS", 0.0)


def content(path: Path) -> tuple[object, ...]:
    """What a build decides, besides what the root digest covers."""
    with Index(path) as index:
        rejects = list(zip(index.column("path", "rejects"), index.column("reason", "rejects"), strict=True))
        return digest(path), rejects


def counts(report: BuildReport) -> BuildReport:
    """What a report counts, whoever did it and however often it was interrupted."""
    return replace(
        report, seconds=0, encoded=report.encoded + report.resumed, resumed=0, already_rejected=0, notes=()
    )


@pytest.fixture(scope="module")
def plain(
    pictures: list[Item], encoder: Callable[[], OfBatch], tmp_path_factory: pytest.TempPathFactory
) -> tuple[object, BuildReport]:
    path = tmp_path_factory.mktemp("plain") / "i.h5"
    of_batch = encoder()
    report = build(pictures, path, of_batch.lazy())
    assert len(of_batch.batches) > 5
    assert report.rejected and report.blocked and report.encoded > 35
    return content(path), counts(report)


def run(
    items: list[Item], path: Path, engine: FakeEngine, most_held: int = 1000, **options: object
) -> tuple[BuildReport, Dispatcher, list[str]]:
    notes: list[str] = []
    lazy = engine.encoder.lazy()
    runner = Dispatcher(
        engine, lambda: replace(REFERENCE), lambda: BATCH, patience=PATIENCE, most_held=most_held, note=notes.append,
        now=engine.now,
    )  # fmt: skip
    try:
        return build(items, path, lazy, runner=runner, **options), runner, notes  # type: ignore[arg-type]
    finally:
        runner.close()


@pytest.mark.parametrize(
    "block",
    [
        *range(5),
        *(pytest.param(block, marks=pytest.mark.slow) for block in range(5, 8)),
        *(pytest.param(block, marks=pytest.mark.clusters) for block in range(8, 25)),
    ],
)
def test_the_root_is_the_same_whatever_fails(
    block: int, pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker,
    plain: tuple[object, BuildReport], tmp_path: Path,
) -> None:  # fmt: skip
    seen: dict[str, int] = {}
    for seed in range(20 * block, 20 * block + 20):
        path = tmp_path / f"{seed}.h5"
        engine = FakeEngine(seed, encoder(), decoder, Faults(), n_nodes=1 + seed % 3)
        report, runner, _ = run(pictures, path, engine)
        assert (content(path), counts(report)) == plain, seed
        assert runner.most_seen <= 1000
        for fault, n in engine.n_faults.items():
            seen[fault] = seen.get(fault, 0) + n
    assert set(seen) == {"lost", "stopped", "failed", "pixels", "answer", "node", "odd"}, seen


@pytest.mark.parametrize(
    "block",
    [
        0,
        1,
        *(pytest.param(block, marks=pytest.mark.slow) for block in range(2, 4)),
        *(pytest.param(block, marks=pytest.mark.clusters) for block in range(4, 12)),
    ],
)
def test_a_driver_that_is_interrupted_again_and_again_goes_on(
    commits_often: None, block: int, pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker,
    plain: tuple[object, BuildReport], tmp_path: Path,
) -> None:  # fmt: skip
    n_stopped = 0
    for seed in range(10 * block, 10 * block + 10):
        path = tmp_path / f"{seed}.h5"
        for attempt in range(50):
            faults = Faults(interrupt=0.04 if attempt < 20 else 0, most=20)
            engine = FakeEngine(1000 * seed + attempt, encoder(), decoder, faults)
            try:
                report, _, _ = run(pictures, path, engine)
                break
            except Stopped:
                n_stopped += 1
        assert content(path) == plain[0], seed
        assert counts(report).rows == plain[1].rows
    assert n_stopped > 10


def test_what_is_held_is_bounded_and_released(
    pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker,
    plain: tuple[object, BuildReport], tmp_path: Path,
) -> None:  # fmt: skip
    engine = FakeEngine(1, encoder(), decoder, Faults(most=0))
    report, runner, _ = run(pictures, tmp_path / "i.h5", engine, most_held=1)
    assert (content(tmp_path / "i.h5"), counts(report)) == plain
    assert runner.most_seen <= 2 * (BATCH + BATCH // 4) + 1
    assert runner._held == 0


def test_a_driver_that_is_stopped_for_long_gives_no_worker_up(
    pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker,
    plain: tuple[object, BuildReport], tmp_path: Path,
) -> None:  # fmt: skip
    class Paused(FakeEngine):
        n_pauses = 0

        def result(self, call):  # type: ignore[no-untyped-def]
            if call.method == "encode":
                self.n_pauses += 1
                self.time += 100 * PATIENCE.start
            return super().result(call)

    engine = Paused(1, encoder(), decoder, Faults(most=0))
    report, runner, notes = run(pictures, tmp_path / "i.h5", engine)
    assert (content(tmp_path / "i.h5"), counts(report)) == plain
    assert engine.n_pauses > 5
    assert runner.lost == 0
    assert notes == []


def test_a_second_build_reads_and_encodes_nothing_and_starts_nobody(
    pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker, tmp_path: Path
) -> None:
    path = tmp_path / "i.h5"
    run(pictures, path, FakeEngine(1, encoder(), decoder, Faults(most=0)))
    again = FakeEngine(2, encoder(), decoder, Faults(most=0))
    readable = [item for item in pictures if not item.path.endswith("gone.jpg")]
    for item in readable:  # a stamp is trusted only if the file is at rest
        stamp = np.int64(10**18)
        import os

        os.utime(item.path, ns=(int(stamp), int(stamp)))
    run(readable, path, again)
    third = FakeEngine(3, encoder(), decoder, Faults(most=0))
    report, _, _ = run(readable, path, third)
    assert not third.workers
    assert report.encoded == 0


def test_pictures_of_known_digests_ship_no_pixels(
    pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker, tmp_path: Path
) -> None:
    path = tmp_path / "i.h5"
    run(pictures, path, FakeEngine(1, encoder(), decoder, Faults(most=0)))
    before = content(path)
    engine = FakeEngine(2, encoder(), decoder, Faults(most=0))
    report, _, _ = run(pictures, path, engine, rehash=False, retry_rejects=False)
    assert report.encoded == 0
    assert engine.most_pixels == 0
    assert content(path) == before


def test_a_digest_that_only_begins_like_a_known_one_is_encoded(
    pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker,
    plain: tuple[object, BuildReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    engine = FakeEngine(1, encoder(), decoder, Faults(most=0))
    everything = np.sort(
        np.array([int.from_bytes(_sha(item)[:8], "big") for item in pictures if _sha(item)], np.uint64)
    )
    monkeypatch.setattr(
        engine, "begin", lambda sources: setattr(engine, "known", (everything, everything[:0]))
    )
    report, _, _ = run(pictures, tmp_path / "i.h5", engine)
    assert (content(tmp_path / "i.h5"), counts(report)) == plain


def _sha(item: Item) -> bytes:
    import hashlib

    path = Path(item.path)
    return hashlib.sha256(path.read_bytes()).digest() if path.exists() else b""


def test_a_build_without_any_encoder_of_its_kind_says_why(
    pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker, tmp_path: Path
) -> None:
    class Odd(FakeEngine):
        def start(self, seat):  # type: ignore[no-untyped-def]
            worker = super().start(seat)
            worker.odd = seat.role == "encode"
            return worker

    with pytest.raises(
        ImindexError, match=r"No encoder is left.*node n0 was refused.*other bits.*--allow-mixed"
    ):
        run(pictures, tmp_path / "i.h5", Odd(1, encoder(), decoder, Faults(most=0)))


def test_encoders_that_do_not_come_back_end_the_build_and_keep_what_there_is(
    commits_often: None, pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker,
    plain: tuple[object, BuildReport], tmp_path: Path,
) -> None:  # fmt: skip
    class Vanishing(FakeEngine):
        gone = False

        def seats(self):  # type: ignore[no-untyped-def]
            if len(self.encoder.batches) >= 3 and not self.gone:
                self.gone = True
                for worker in self.workers:
                    worker.dead |= worker.seat.role == "encode"
            return [seat for seat in super().seats() if not self.gone or seat.role == "decode"]

    engine = Vanishing(1, encoder(), decoder, Faults(most=0), n_nodes=1)
    with pytest.raises(ImindexError, match=r"No encoder joined for 400 s\. What was encoded is kept"):
        run(pictures, tmp_path / "i.h5", engine)
    assert engine.time > 400
    report, _, _ = run(pictures, tmp_path / "i.h5", FakeEngine(2, encoder(), decoder, Faults(most=0)))
    assert report.resumed >= BATCH
    assert content(tmp_path / "i.h5") == plain[0]


def test_pictures_that_a_node_cannot_see_are_read_elsewhere_or_told(
    pictures: list[Item], encoder: Callable[[], OfBatch], decoder: DecodeWorker,
    plain: tuple[object, BuildReport], tmp_path: Path,
) -> None:  # fmt: skip
    from imindex.indexer.runners.base import NO_DIGEST
    from imindex.indexer.runners.workers import Outcome

    class Blind(FakeEngine):
        blind: tuple[str, ...] = ("n1",)

        def _compute(self, pending):  # type: ignore[no-untyped-def]
            super()._compute(pending)
            if pending.method == "read" and pending.worker.seat.node in self.blind and not pending.error:
                missing = Outcome(NO_DIGEST, "cannot be read: No such file or directory", (0, 0, 0))
                pending.result = [missing for _ in pending.result]

    engine = Blind(1, encoder(), decoder, Faults(most=0))
    report, _, notes = run(pictures, tmp_path / "i.h5", engine)
    assert (content(tmp_path / "i.h5"), counts(report)) == plain
    assert sum("is not visible on node n1" in note and "shared storage" in note for note in notes) == 1
    everywhere = Blind(1, encoder(), decoder, Faults(most=0))
    everywhere.blind = ("n0", "n1")
    with pytest.raises(ImindexError, match=r"is not visible on node n.*shared storage"):
        run(pictures, tmp_path / "other.h5", everywhere)


def test_a_picture_that_changes_before_it_is_read_again_ends_the_build(
    encoder: Callable[[], OfBatch], decoder: DecodeWorker, tmp_path: Path
) -> None:
    folder = tmp_path / "works/ada"
    folder.mkdir(parents=True)
    for n in range(12):
        picture(n).save(folder / f"{n}.jpg")
    items = list(find([tmp_path]))

    class Changing(FakeEngine):
        def encode(self, worker, rows, chunks):  # type: ignore[no-untyped-def]
            picture(99).save(items[0].path)
            for chunk in chunks:
                chunk.lost = True
            return super().encode(worker, rows, chunks)

    with pytest.raises(ImindexError, match="changed while the build was running"):
        run(items, tmp_path / "i.h5", Changing(1, encoder(), decoder, Faults(most=0)))
