"""Rebuilds: files moved, changed, damaged or repaired between builds, and Ctrl-C at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from imindex.indexer.build.build import Stopped, build
from imindex.indexer.build.checkpoint import Batch, Parts
from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import preprocess as images
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.runners import reader
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import SUFFIX
from tests.support.builds import TREE, Counting, digest
from tests.support.pictures import picture


def rows(path: Path) -> dict[str, str]:
    """The artist of every row, by path."""
    with Index(path) as index:
        names = [index.artists[a] if a >= 0 else "" for a in index.column("artist")]
        return dict(zip(index.column("path"), names, strict=True))


def test_two_files_that_swap_their_names_keep_their_vectors(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 2, "works/bo": 1}), tmp_path / "i.h5"
    build(list(find([root])), path, Counting(tiny_encoder))
    a, b, c = root / "works/ada/000.png", root / "works/ada/001.png", tmp_path / "swap"
    a.rename(c), b.rename(a), c.rename(b)
    encoder = Counting(tiny_encoder)
    report = build(list(find([root])), path, encoder)
    assert (report.rows, encoder.count) == (3, 0)
    with Index(path) as index:
        for row, stored in enumerate(index.column("path")):
            pixels = images.decode((tmp_path / stored).read_bytes(), tiny_encoder.preprocess).pixels[None]
            assert np.abs(index.vectors[row] - tiny_encoder.encode_images(pixels)[0]).max() < 1e-2


def test_a_file_renamed_over_another_is_one_row(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 3}), tmp_path / "i.h5"
    build(list(find([root])), path, Counting(tiny_encoder))
    (root / "works/ada/001.png").rename(root / "works/ada/000.png")
    assert build(list(find([root])), path, Counting(tiny_encoder)).rows == 2
    assert set(rows(path)) == {"art/works/ada/000.png", "art/works/ada/002.png"}


def test_a_copy_next_to_a_linked_index_is_a_second_row(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works({"works/ada": 1})
    (tmp_path / "deep/x/y").mkdir(parents=True)
    (tmp_path / "link").symlink_to("deep/x/y")
    path = tmp_path / "link/i.h5"
    build(list(find([root])), path, Counting(tiny_encoder))
    (tmp_path / "art2/works/ada").mkdir(parents=True)
    shutil.copy(root / "works/ada/000.png", tmp_path / "art2/works/ada/copy.png")
    report = build(list(find([tmp_path / "art2"])), path, Counting(tiny_encoder))
    assert (report.rows, report.moved, report.added) == (2, 0, 1)


def test_a_link_to_an_index_stays_a_link(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    root = works({"works/ada": 1, "works/bo": 1})
    build(
        list(find([root / "works/ada"], kind="works", artist="ada")),
        tmp_path / "real.h5",
        Counting(tiny_encoder),
    )
    (tmp_path / "link.h5").symlink_to("real.h5")
    build(list(find([root])), tmp_path / "link.h5", Counting(tiny_encoder))
    assert (tmp_path / "link.h5").is_symlink()
    assert len(rows(tmp_path / "real.h5")) == 2


def test_a_temporarily_unreadable_file_keeps_its_row(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 2}), tmp_path / "i.h5"
    items = list(find([root]))
    build(items, path, Counting(tiny_encoder))
    away = root / "works/ada/000.png"
    data = away.read_bytes()
    away.unlink()
    report = build(items, path, Counting(tiny_encoder))
    assert (report.rows, report.rejected) == (2, 1)
    away.write_bytes(data)
    encoder = Counting(tiny_encoder)
    report = build(items, path, encoder)
    assert (report.rows, report.rejected, encoder.count) == (2, 0, 0)
    with Index(path) as index:
        assert not len(index.rejects()["path"])


def test_a_picture_listed_twice_is_one_row_and_counted(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works({"works/ada": 1})
    path = str(root / "works/ada/000.png")
    items = [Item(path, "ada", "works", "works", seed=seed) for seed in (1, 2)]
    report = build(items, tmp_path / "i.h5", Counting(tiny_encoder))
    assert (report.rows, report.repeated) == (1, 1)


def test_rejects_are_retried_on_request_after_a_stopped_build(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulates a decoder that is installed later: A and B have the same bytes, which are unreadable at first."""
    root, path = works({"works/ada": 1}), tmp_path / "i.h5"
    (root / "works/bo").mkdir()
    shutil.copy(root / "works/ada/000.png", root / "works/bo/same.png")
    sound = works({"works/cy": 1}, root="sound", first_seed=80)
    build(list(find([sound])), path, Counting(tiny_encoder))

    def refuse(*_: object, **__: object) -> images.Picture:
        raise BadPicture("no decoder")

    monkeypatch.setattr(reader, "decode", refuse)
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert (report.rows, report.rejected) == (1, 2)
    monkeypatch.undo()
    assert build(list(find([root])), path, Counting(tiny_encoder)).rows == 1
    only_ada = list(find([root / "works/ada"], kind="works", artist="ada"))
    assert build(only_ada, path, Counting(tiny_encoder), retry_rejects=True).rows == 2
    report = build(list(find([root])), path, Counting(tiny_encoder))
    assert (report.rows, report.rejected) == (3, 0)


def test_strict_rejects_are_retried(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, path = list(find([works({"works/ada": 2})])), tmp_path / "i.h5"
    real = reader.decode

    def refuse(data: bytes, *arguments: object, **options: object) -> images.Picture:
        if data == Path(items[0].path).read_bytes():
            raise BadPicture("no decoder")
        return real(data, *arguments, **options)

    monkeypatch.setattr(reader, "decode", refuse)
    with pytest.raises(Exception, match="no decoder"):
        build(items, path, Counting(tiny_encoder), strict=True)
    monkeypatch.undo()
    assert build(items, path, Counting(tiny_encoder), strict=True, retry_rejects=True).rows == 2


def test_ctrl_c_while_recording_results_leaves_no_partial_batch(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, path = list(find([works(TREE)])), tmp_path / "i.h5"
    build(items, tmp_path / "straight.h5", Counting(tiny_encoder))

    class Interrupting(np.ndarray):
        def __iter__(self) -> Iterator[np.ndarray]:
            yield from np.asarray(self)[:2]
            raise KeyboardInterrupt

    class Impatient(Counting):
        def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
            vectors = super().encode_images(pixels)
            return vectors if self.count < 8 else vectors.view(Interrupting)

    with pytest.raises(Stopped, match="4 encoded pictures are kept"):
        build(items, path, Impatient(tiny_encoder))
    build(items, path, Counting(tiny_encoder))
    assert digest(path) == digest(tmp_path / "straight.h5")


def test_a_part_file_renamed_but_not_recorded_is_kept(tiny_encoder: Encoder, tmp_path: Path) -> None:
    class Interrupted(Parts):
        def _add(self, *_: object) -> None:
            raise KeyboardInterrupt

    batch = Batch([bytes(range(32))], [np.zeros(32, np.float16)], [(1, 1)])
    with pytest.raises(KeyboardInterrupt), Interrupted(tmp_path / "i.h5", tiny_encoder.info) as parts:
        parts.append(batch)
    with Parts(tmp_path / "i.h5", tiny_encoder.info) as parts:
        assert len(parts.numbers) == 1


def test_leftovers_of_another_index_are_left_alone(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    theirs, ours = (tmp_path / f".{name}.{16 * '0'}{SUFFIX}" for name in ("audit.h5", "audit"))
    theirs.touch(), ours.touch()
    picture(1).save(tmp_path / "x.png")
    build(
        [Item(str(tmp_path / "x.png"), "ada", "works", "works")], tmp_path / "audit", Counting(tiny_encoder)
    )
    assert theirs.exists() and not ours.exists()


def test_prune_keeps_exactly_the_given_pictures(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root, path = works({"works/ada": 2, "works/bo": 2}), tmp_path / "i.h5"
    (root / "works/bo/broken.png").write_text("no picture")
    build(list(find([root])), path, Counting(tiny_encoder))
    (root / "works/ada/000.png").rename(root / "works/ada/moved.png")
    items = [item for item in find([root]) if item.artist == "ada"]
    encoder = Counting(tiny_encoder)
    report = build(items, path, encoder, prune=True)
    assert (report.pruned, report.moved, report.unchanged, encoder.count) == (2, 1, 1, 0)
    assert set(rows(path)) == {"art/works/ada/moved.png", "art/works/ada/001.png"}
    with Index(path) as index:
        assert list(index.artists) == ["ada"] and not len(index.rejects()["path"])
    assert build(items, path, encoder, prune=True).root_digest == report.root_digest
