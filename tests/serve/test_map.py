"""The map: the projection and its file, and the page in a real Chromium."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.artists import NAMES
from imindex.retrieval.projection.reduce import reduce
from tests.support.browser import LOOKS, Browser, Served, serving
from tests.support.commands import run

FILE = "audit.h5.map.safetensors"


def clustered(n: int, groups: int = 8, dim: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    vectors = rng.normal(size=(groups, dim))[group] + 0.3 * rng.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16), group


def brute(vectors: np.ndarray):  # type: ignore[no-untyped-def]
    def nearest(queries: np.ndarray, k: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cosines = queries.astype(np.float64) @ vectors[rows].astype(np.float64).T
        places = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        return places, np.take_along_axis(cosines, places, axis=1)

    return nearest


def kept_neighbours(xy: np.ndarray, group: np.ndarray, k: int = 5) -> float:
    """Return the share of the k nearest points in the plane that are of the same group."""
    apart = ((xy[:, None] - xy[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    return float((group[np.argsort(apart, axis=1)[:, :k]] == group[:, None]).mean())


@pytest.mark.parametrize("method", ["pca", "umap"])
def test_groups_stay_together_and_seeds_repeat(method: str) -> None:
    if method == "umap":
        pytest.importorskip("umap")
    vectors, group = clustered(400)
    first, again = (reduce(vectors, brute(vectors), method=method, seed=3) for _ in range(2))  # type: ignore[arg-type]
    assert first.dtype == np.float32 and first.shape == (400, 2) and np.abs(first).max() <= 1.05
    assert np.array_equal(first, again)
    assert kept_neighbours(first, group) > {"pca": 0.5, "umap": 0.95}[method] > 2 / 8


def test_pca_is_that_of_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    vectors, _ = clustered(300, seed=1)
    ours = reduce(vectors, brute(vectors), method="pca")
    theirs = decomposition.PCA(2, svd_solver="full").fit_transform(vectors.astype(np.float64))
    for axis in range(2):
        inside = np.abs(ours[:, axis]) < 1
        assert abs(np.corrcoef(ours[inside, axis], theirs[inside, axis])[0, 1]) > 0.9999


def test_rows_beyond_the_sample_are_put_beside_their_neighbours() -> None:
    vectors, group = clustered(500, seed=2)
    xy = reduce(vectors, brute(vectors), method="pca", sample=300)
    assert np.isfinite(xy).all() and kept_neighbours(xy, group) > 0.5


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
def test_few_pictures(n: int) -> None:
    vectors, _ = clustered(n) if n else (np.empty((0, 8), np.float16), None)
    assert reduce(vectors, brute(vectors), method="pca").shape == (n, 2)


def test_a_projection_is_kept_and_only_for_its_root(copied: Path) -> None:
    with imindex.open(copied / "audit.h5") as index:
        assert index.stored_projection() is None
        made = index.projection(method="pca")
        assert made.file == copied / FILE and made.root == index.root_digest
        again = index.stored_projection()
        assert again is not None and np.array_equal(again.xy, made.xy) and again.method == "pca"
    run("remove", "-i", copied / "audit.h5", "--artist", NAMES[0], "--yes")
    with imindex.open(copied / "audit.h5") as index:
        assert index.stored_projection() is None
        assert len(index.projection(method="pca").xy) == len(index) == 60


@pytest.mark.parametrize("damage", ["short", "wrong shape", "nan", "pickle", "huge header", "other root"])
def test_a_file_that_does_not_fit_is_ignored(copied: Path, damage: str) -> None:
    file = copied / FILE
    with imindex.open(copied / "audit.h5") as index:
        made = index.projection(method="pca")
        about = {"format": "imindex-map-1", "root": made.root, "method": "pca", "seed": "0", "library": "x"}
        xy = made.xy.copy()
        if damage == "short":
            file.write_bytes(file.read_bytes()[:-3])
        elif damage == "wrong shape":
            file.write_bytes(safetensors.numpy.save({"xy": xy[:-1]}, about))
        elif damage == "nan":
            xy[0] = np.nan
            file.write_bytes(safetensors.numpy.save({"xy": xy}, about))
        elif damage == "pickle":
            np.save(file, np.array([{}], dtype=object), allow_pickle=True)
            file.write_bytes(Path(f"{file}.npy").read_bytes())
        elif damage == "huge header":
            file.write_bytes(struct.pack("<Q", 2**62) + b"{}")
        else:
            file.write_bytes(safetensors.numpy.save({"xy": xy}, {**about, "root": "0" * 64}))
        assert index.stored_projection() is None
        assert np.array_equal(index.projection(method="pca").xy, made.xy)


def test_the_command(copied: Path) -> None:
    said = json.loads(run("map", "-i", copied / "audit.h5", "--method", "pca", "--json").stdout)
    assert said["method"] == "pca" and said["rows"] == 72 and Path(said["file"]) == copied / FILE


def test_an_unknown_method_is_refused(drawn: Path) -> None:
    with imindex.open(drawn / "audit.h5") as index, pytest.raises(ImindexError, match="method"):
        index.projection(method="tsne")  # type: ignore[arg-type]


# The page


@pytest.fixture(scope="module")
def mapped(drawn: Path) -> Path:
    with imindex.open(drawn / "audit.h5") as index:
        index.projection(method="pca")
    return drawn


def opened(browser: Browser, url: str, **look: object) -> None:
    browser.open(url, **look)  # type: ignore[arg-type]
    browser.wait_for("#main[data-ready]")


def test_a_map_is_computed_when_it_is_first_asked_for(browser: Browser, copied: Path) -> None:
    (copied / FILE).unlink(missing_ok=True)
    with serving("-i", copied / "audit.h5", "--device", "cpu") as service:
        browser.open(f"{service.url}/map")
        browser.wait_for("#main[data-ready]", timeout=90)
        assert "72 pictures" in browser.text("#about")
    assert (copied / FILE).is_file()


def test_lasso_selects_and_lists_what_is_inside(browser: Browser, service: Served, mapped: Path) -> None:
    opened(browser, f"{service.url}/map")
    box = browser.evaluate("(() => { const b = document.querySelector('#stage').getBoundingClientRect(); "
                           "return [b.left, b.top, b.width, b.height]; })()")  # fmt: skip
    left, top, width, height = box
    browser.click("#lasso")
    corners = [(0.01, 0.01), (0.5, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    browser.drag([(left + x * width, top + y * height) for x, y in corners])
    assert "72 pictures selected" in browser.wait_for_text("#selection h2", "selected")
    assert len(browser.find_all("#selection .card")) == 60
    counts = browser.text("#selection .counts")
    assert "works, works: 36" in counts and "imitations, early: 18" in counts
    half = [(0.01, 0.01), (0.5, 0.01), (0.5, 0.99), (0.01, 0.99), (0.01, 0.02)]
    browser.drag([(left + x * width, top + y * height) for x, y in half])
    browser.wait(lambda: "72 pictures" not in browser.text("#selection h2"), "another selection")
    with imindex.open(mapped / "audit.h5") as index:
        xy = index.projection().xy
    inside = int((xy[:, 0] < 0).sum())
    n = int(browser.text("#selection h2").split()[0])
    assert abs(n - inside) <= 3, (n, inside)


def test_colours_filters_and_view_are_in_the_url(browser: Browser, service: Served, mapped: Path) -> None:
    opened(browser, f"{service.url}/map?colour=release")
    assert [one.text.split("\n")[0] for one in browser.find_all("#keys label")] == ["works", "early", "final"]
    browser.click("#keys input[value='early']")
    assert "hide=early" in browser.url
    browser.click("#in")
    browser.wait(lambda: "view=" in browser.url, "the view in the URL")
    url = browser.url
    browser.reset()
    opened(browser, url)
    assert not browser.find("#keys input[value='early']").is_selected()
    assert browser.evaluate("imindexMap.view.zoom") == pytest.approx(1.6)
    hidden = browser.evaluate("imindexMap.colours.filter((value, place) => place % 4 === 3 && !value).length")
    assert hidden == 18


def test_keyboard_selects_what_is_in_view(browser: Browser, service: Served, mapped: Path) -> None:
    opened(browser, f"{service.url}/map")
    browser.run("document.querySelector('#stage').focus()")
    browser.press("ENTER")
    assert "72 pictures selected" in browser.wait_for_text("#selection h2", "selected")
    browser.press("ESCAPE")
    browser.wait(lambda: not browser.find("#selection").is_displayed(), "the selection to go")


def test_hover_shows_the_picture(browser: Browser, service: Served, mapped: Path) -> None:
    opened(browser, f"{service.url}/map")
    place = browser.evaluate("(() => { const b = document.querySelector('#stage').getBoundingClientRect(); "
                             "const [x, y] = imindexMap.pixel(imindexMap.xy[0], imindexMap.xy[1]); "
                             "return [b.left + x, b.top + y]; })()")  # fmt: skip
    browser.move(*place)
    browser.wait_for("#hover img")
    assert any(name in browser.text("#hover") for name in NAMES[:6])


@pytest.mark.parametrize("look", LOOKS)
def test_accessible_and_never_wider_than_the_window(
    browser: Browser, service: Served, mapped: Path, look: str
) -> None:
    opened(browser, f"{service.url}/map", **LOOKS[look])
    assert browser.accessibility() == [] and not browser.scrolls_sideways()
