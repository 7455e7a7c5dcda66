"""Candidates for copies: found where a work is repeated, in whatever form, and not where only its style is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from imindex.indexer.build.build import build
from imindex.indexer.demo.artists import NAMES, draw
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.copy_rule import Nearest, calibrate, candidates, near_series
from imindex.retrieval.evidence.looks import SIDE
from imindex.retrieval.evidence.near_copies import copies, nearest_works
from imindex.retrieval.evidence.outlines import Searched, Sought, alike, outlines
from imindex.retrieval.evidence.proposals import coarse_middles, coarse_windows, nearest_outlines
from imindex.retrieval.results import Copies
from tests.support.builds import Counting

CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "small": lambda work: work.resize((64, 64)),
    "crop of 80 %": lambda work: work.crop((4, 10, 4 + 114, 10 + 114)),
    "crop of 60 %": lambda work: work.crop((20, 5, 20 + 99, 5 + 99)),
    "mirrored": ImageOps.mirror,
    "grey": lambda work: work.convert("L"),
    "negative": ImageOps.invert,
    "other colours": lambda work: Image.merge("RGB", [work.split()[n] for n in (2, 0, 1)]),
    "mirrored crop in grey": lambda work: ImageOps.mirror(work.crop((10, 4, 124, 118))).convert("L"),
}


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[str, int], Image.Image]:
    return {(name, seed): draw(name, seed=seed, size=128) for name in NAMES[:6] for seed in range(4)}


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


# The measure


@pytest.mark.parametrize("change", CHANGES)
def test_outlines_survive(drawn: dict[tuple[str, int], Image.Image], change: str) -> None:
    for work in list(drawn.values())[::3]:
        changed = CHANGES[change](work)
        found = alike(Sought.of(pixels(changed)), Searched.of(pixels(work)))
        assert found.value > 0.65 and found.mirrored is ("mirrored" in change)


def test_style_has_other_outlines(drawn: dict[tuple[str, int], Image.Image]) -> None:
    for name in NAMES[:6]:
        works = [pixels(drawn[name, seed]) for seed in range(4)]
        for work in works[1:]:
            assert alike(Sought.of(work), Searched.of(works[0])).value < 0.6


def test_outlines_of_nothing() -> None:
    flat = np.full((32, 32, 3), 7, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert not outlines(flat).any()
    for a, b in ((flat, flat), (flat, noise), (noise, flat)):
        assert alike(Sought.of(a), Searched.of(b)).value == 0
    field = outlines(noise)
    assert (field == np.rint(field)).all() and np.abs(field).max() <= 63
    assert (outlines(255 - noise) == field).mean() > 0.99  # an edge from dark to light, or from light to dark


def test_a_square_part_of_a_wide_work_is_found() -> None:
    rng = np.random.default_rng(5)
    work = np.kron(rng.integers(0, 256, (8, 20, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    part = work[:, 150:278]
    squeezed = np.asarray(Image.fromarray(work).resize((128, 128)))
    for picture in (part, squeezed):
        # The cache of small pictures holds everything squeezed into a square.
        small = np.asarray(Image.fromarray(work).resize((256, 256)))
        found = alike(Sought.of(picture), Searched.of(small, 20 / 8, sought=1.0))
        assert found.value > 0.8


def test_coarse_outlines_propose_the_work(drawn: dict[tuple[str, int], Image.Image]) -> None:
    works = [pixels(work) for work in drawn.values()]
    windows = [(number, coarse_windows(work, 1.0)) for number, work in enumerate(works)]
    for change in CHANGES.values():
        sought = [Sought.of(pixels(change(work))) for work in drawn.values()]
        middles = coarse_middles(sought)
        near = nearest_outlines(middles, iter(windows), 3)
        assert np.mean([number in row for number, row in enumerate(near)]) > 0.9
        table = np.array([[(middle @ one.T).max() for _, one in windows] for middle in middles])
        assert (np.take_along_axis(table, near[:, :1], 1)[:, 0] > table.max(axis=1) - 1e-3).all()
    assert nearest_outlines(middles, iter(windows[:2]), 3)[:, 2].tolist() == [-1] * len(works)


def test_nearest_works_equal_those_of_the_whole_table() -> None:
    rng = np.random.default_rng(0)
    made, works = (rng.normal(size=(n, 8)) for n in (30, 11))
    made, works = ((v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float16) for v in (made, works))
    table = made.astype(np.float64) @ works.astype(np.float64).T
    work, cosine = nearest_works(made, works, k=4)
    order = np.argsort(-table, axis=1, kind="stable")[:, :4]
    assert (work == order).all() and (cosine == np.take_along_axis(table, order, axis=1)).all()
    assert nearest_works(made, works[:2])[0].shape == (30, 2)


# The rule


@pytest.mark.parametrize(("n_placebos", "bound"), [(19, 1 / 20), (39, 2 / 40), (99, 5 / 100), (5, 1 / 6)])
def test_the_rate_of_a_release_without_copies_is_what_is_stated(n_placebos: int, bound: float) -> None:
    """Sets depend within, artists attract unequally, some names attract all artists: the bound is the same."""
    rng = np.random.default_rng(n_placebos)
    artists = [f"a{n}" for n in range(24)]
    pull = rng.normal(size=len(artists))

    def drawn_set() -> list[Nearest]:
        common, own = rng.normal() * rng.integers(0, 3), rng.normal(size=(6, len(artists)))
        values = common + own + pull
        best = values.argmax(axis=1)
        return [Nearest(float(values[k, a]), artists[a]) for k, a in enumerate(best)]

    runs, n_false = 600, 0
    for _ in range(runs):
        found = calibrate([drawn_set() for _ in range(n_placebos)], 0.05, lowest=-np.inf)
        assert found.bound == pytest.approx(bound)
        n_false += bool(candidates({name: drawn_set() for name in artists}, found.threshold))
    assert n_false / runs <= bound + 2 * np.sqrt(bound / runs)
    assert n_false / runs >= bound / 6  # and it is not vacuous


def test_the_rate_asked_for_is_shared_out_and_never_hidden() -> None:
    sets = [[Nearest(0.7 + 0.001 * n, "a")] for n in range(39)]
    assert calibrate(sets, 0.05).threshold == pytest.approx(0.737)  # the second highest
    assert calibrate(sets, 0.025).threshold == pytest.approx(0.738)
    few = calibrate(sets, 0.01)  # not reachable with so few names, and said
    assert few.bound == pytest.approx(0.025) and few.threshold == pytest.approx(0.738)
    assert calibrate(sets, 0.05).n_false == 1
    beyond = [[Nearest(0.7 + 0.001 * n, "a", beyond_series=False)] for n in range(39)]
    assert calibrate(beyond, 0.05).n_false == 0
    assert calibrate([], 0.05).bound is None


def test_a_set_is_called_by_its_nearest_picture() -> None:
    own, other = Nearest(0.9, "a"), Nearest(0.95, "b")
    assert candidates({"a": [own, Nearest(0.5, "a")]}, 0.8) == {"a": [0]}
    assert candidates({"a": [own, other]}, 0.8) == {}
    assert candidates({"a": [Nearest(0.9, "a", beyond_series=False)]}, 0.8) == {"a": []}
    assert candidates({"a": [own]}, 0.9) == {} and candidates({"a": []}, 0.1) == {}
    assert near_series(0.9, 0.85) and not near_series(0.9, 0.75) and not near_series(0.7, float("nan"))


# A release


@pytest.fixture
def release(
    tiny_encoder: Encoder, tmp_path: Path, drawn: dict[tuple[str, int], Image.Image]
) -> Callable[[dict[str, Image.Image | Path]], Copies]:
    """Build three artists' works, pictures in their style, six placebo names, and some more pictures."""

    def make(more: dict[str, Image.Image | Path]) -> Copies:
        root = tmp_path / "world"
        for name in NAMES[:3]:
            for seed in range(4):
                save(drawn[name, seed], root / f"works/{name}/{seed}.png")
            for seed in range(4):
                save(draw(name, seed=100 + seed, size=64), root / f"imitations/r/{name}/{seed}.png")
        for n in range(6):
            for seed in range(4):
                save(draw("generic", seed=10 * n + seed, size=64), root / f"imitations/r/inv {n}/{seed}.png")
        for place, image in more.items():
            if isinstance(image, Path):
                target = root / "imitations/r" / place
                shutil.copyfile(root / image, target)
            else:
                save(image, root / "imitations/r" / place)
        build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
        with Index(tmp_path / "i.h5") as index:
            return copies(index, "r", [f"inv {n}" for n in range(6)])

    return make


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def test_style_is_no_candidate(release: Callable[..., Copies]) -> None:
    found = release({})
    assert not found.n_candidates and not found.n_copies and found.n_placebo_false <= 1
    assert found.n_placebo_names == 6 and found.bound == pytest.approx(1 / 7)
    assert (
        found.n_compared == 36 and len(found.pairs) == 12 and not any(pair.candidate for pair in found.pairs)
    )
    values = [pair.outlines for pair in found.pairs]
    assert values == sorted(values, reverse=True)


def test_copies_are_candidates_in_whatever_form(
    release: Callable[..., Copies], drawn: dict[tuple[str, int], Image.Image]
) -> None:
    made = {
        f"{NAMES[n % 3]}/{change}.png": CHANGES[change](drawn[NAMES[n % 3], n % 4])
        for n, change in enumerate(CHANGES)
    }
    found = release(made)
    called = {pair.imitation.split("imitations/r/")[1]: pair for pair in found.of("candidate")}
    assert set(called) == set(made)
    for n, change in enumerate(CHANGES):
        pair = called[f"{NAMES[n % 3]}/{change}.png"]
        assert pair.work.endswith(f"{NAMES[n % 3]}/{n % 4}.png") and pair.work_artist == pair.artist
        assert len(pair.imitation_sha256) == len(pair.work_sha256) == 64
    assert {pair.state for pair in found.pairs} == {"candidate", "comparison"}


def test_the_same_file_is_a_candidate_whoever_it_was_made_for(release: Callable[..., Copies]) -> None:
    work = Path(f"works/{NAMES[1]}/2.png")
    found = release({"inv 3/same.png": work, f"{NAMES[0]}/same.png": work})
    called = found.of("candidate")
    assert [pair.same_bytes for pair in called] == [True, True]
    assert {pair.artist for pair in called} == {"inv 3", NAMES[0]} and {
        pair.work_artist for pair in called
    } == {NAMES[1]}
    assert [pair.placebo for pair in called].count(True) == 1
    assert found.threshold < 0.9  # a picture that is a copy says nothing of those that cannot be


def test_an_artist_of_one_composition_is_not_copied_by_it(
    tiny_encoder: Encoder, tmp_path: Path, drawn: dict[tuple[str, int], Image.Image]
) -> None:
    noise, base = np.random.default_rng(3), np.asarray(drawn[NAMES[0], 0]).astype(float)
    for folder, n in (("works/bo", 3), ("imitations/r1/bo", 1)):
        for number in range(n):
            varied = (base + noise.normal(0, 60, base.shape)).clip(0, 255).astype(np.uint8)
            save(Image.fromarray(varied), tmp_path / folder / f"{number}.png")
    save(drawn[NAMES[1], 0], tmp_path / "works/ada/0.png")
    build(
        list(find([tmp_path / "works", tmp_path / "imitations"])), tmp_path / "i.h5", Counting(tiny_encoder)
    )
    with Index(tmp_path / "i.h5") as index:
        (pair,) = copies(index, "r1").pairs
    assert pair.outlines and pair.series and pair.outlines > 0.6 and pair.series > 0.6 and not pair.candidate


def test_a_second_scan_of_a_work_hides_no_copy(
    tiny_encoder: Encoder, tmp_path: Path, drawn: dict[tuple[str, int], Image.Image]
) -> None:
    for seed in range(4):
        save(drawn[NAMES[0], seed], tmp_path / f"works/ada/{seed}.png")
    scan = np.asarray(drawn[NAMES[0], 0]).copy()
    scan[0, 0, 0] ^= 1
    save(Image.fromarray(scan), tmp_path / "works/ada/scan.png")
    save(drawn[NAMES[0], 0].resize((64, 64)), tmp_path / "imitations/r1/ada/0.png")
    build(
        list(find([tmp_path / "works", tmp_path / "imitations"])), tmp_path / "i.h5", Counting(tiny_encoder)
    )
    with Index(tmp_path / "i.h5") as index:
        (pair,) = copies(index, "r1").pairs
    assert pair.candidate and Path(pair.work).name in ("0.png", "scan.png")


def test_pictures_that_are_gone_are_counted(works: Callable, tiny_encoder: Encoder, tmp_path: Path) -> None:
    root = works({"works/ada": 2, "imitations/r1/ada": 2})
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    shutil.rmtree(root)
    with Index(tmp_path / "i.h5") as index:
        found = copies(index, "r1")
    assert (found.n_compared, found.n_unread, found.pairs, found.bound) == (0, 2, (), None)
