"""Near-copies are found if a work is reproduced, but not if only its style is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from imindex.indexer.build.build import build
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.near_copies import composition, copies, nearest_works
from tests.support.builds import Counting
from tests.support.pictures import picture


def test_composition_is_the_higher_of_the_plain_and_the_mirrored_correlation() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    centred = [x - x.mean(axis=(1, 2), keepdims=True) for x in (a, b, b[:, :, ::-1])]
    expected = max(np.corrcoef(centred[0].ravel(), x.ravel())[0, 1] for x in centred[1:])
    assert composition(a, b) == pytest.approx(expected)
    red = np.array([200, 30, 30]).reshape(3, 1, 1)
    noisy = [(red + rng.normal(0, 18, (3, 32, 32))).clip(0, 255).astype(np.uint8) for _ in range(2)]
    assert abs(composition(*noisy)) < 0.1  # a common colour is not a composition
    assert composition(a, 255 - a) < 0.5 and composition(a, a // 2) > 0.99
    assert composition(np.zeros_like(a), np.zeros_like(a)) == 0


def test_nearest_works_match_the_full_table() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(n, 8)) for n in (30, 11))
    imitations, works = ((v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float16) for v in vectors)
    table = imitations.astype(np.float64) @ works.astype(np.float64).T
    work, cosine = nearest_works(imitations, works, k=4)
    order = np.argsort(-table, axis=1, kind="stable")[:, :4]
    assert (work == order).all() and (cosine == np.take_along_axis(table, order, axis=1)).all()
    assert nearest_works(imitations, works[:2])[0].shape == (30, 2)


def test_copies_are_found_and_style_alone_is_not_a_copy(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works({"works/ada": 4, "works/bo": 4, "imitations/r1/ada": 3, "imitations/r1/bo": 2})
    of_bo, imitations = root / "works/bo", root / "imitations/r1/ada"
    shutil.copy(of_bo / "000.png", imitations / "bytes.png")
    with Image.open(of_bo / "001.png") as work:
        work.save(imitations / "recompressed.jpg", quality=70)
        ImageOps.mirror(ImageEnhance.Brightness(work).enhance(0.9)).save(imitations / "mirrored.png")
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    with Index(tmp_path / "i.h5") as index:
        result = copies(index, "r1", 0.5)  # to the tiny model, all pictures are similar
    assert result.n_candidates == result.n_looked_at == 8
    confirmed = {Path(pair.imitation).name: pair for pair in result.pairs if pair.copy}
    assert set(confirmed) >= {"bytes.png", "recompressed.jpg"}
    assert not set(confirmed) - {"bytes.png", "recompressed.jpg", "mirrored.png"}
    assert confirmed["bytes.png"].same_bytes and not confirmed["recompressed.jpg"].same_bytes
    assert {pair.work_artist for pair in confirmed.values()} == {"bo"}
    cosines = [pair.cosine for pair in result.pairs]
    assert cosines == sorted(cosines, reverse=True)


def test_a_composition_that_the_artist_repeats_is_not_a_copy(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works({"works/ada": 2, "works/bo": 3, "imitations/r1/bo": 1})
    noise = np.random.default_rng(3)
    base = np.asarray(picture(77), dtype=np.int16)
    for folder, n in (("works/bo", 3), ("imitations/r1/bo", 1)):
        for number in range(n):
            amount = 25 if folder.startswith("works") else 40
            pixels = (base + noise.normal(0, amount, base.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number:03d}.png")
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    with Index(tmp_path / "i.h5") as index:
        (pair,) = copies(index, "r1", 0.01).pairs
    assert pair.composition > 0.8 and pair.series > pair.composition and not pair.copy


def test_a_second_scan_of_a_work_does_not_hide_a_copy(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works({"works/ada": 4, "imitations/r1/ada": 1})
    with Image.open(root / "works/ada/000.png") as work:
        pixels = np.asarray(work).copy()
    noise = np.random.default_rng(0).integers(-2, 3, pixels.shape)
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(root / "imitations/r1/ada/000.png")
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(root / "works/ada/second.png")
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    with Index(tmp_path / "i.h5") as index:
        (pair,) = copies(index, "r1", 0.5).pairs
    assert pair.copy and Path(pair.work).name in ("000.png", "second.png")


def test_missing_pictures_remain_candidates(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    root = works({"works/ada": 2, "imitations/r1/ada": 2})
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    shutil.rmtree(root)
    with Index(tmp_path / "i.h5") as index:
        result = copies(index, "r1", 0.01)
    assert result.n_candidates == 2 and not any(pair.copy for pair in result.pairs)
