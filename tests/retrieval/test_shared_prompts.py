"""What the intervals of a release take from the index: prompts and seeds that artists share, and series of works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.schema import Collection, Contents, EncoderInfo, item_columns, reject_columns
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.evidence.testing import Testing, shared_prompts
from imindex.retrieval.search.attribution import attribute
from imindex.retrieval.vectors.select import pictures
from tests.support.invented_index import unit

TESTING = Testing(n_resamples=99)
COLLECTIONS = (Collection("works", "works"), Collection("r", "imitations"))
NAMES = ("Ada", "Bo", "Cy", "Dee")
N_WORKS, SERIES = 12, 8


def release(
    path: Path, templates: list[str], n_seeds: int, *, names: tuple[str, ...] = NAMES, seed: int = 0
) -> Path:
    """Write an index. A template and seed pull the pictures of all artists alike; 8 works of the first are a series."""
    rows: list[tuple[int, int, str, int]] = []
    vectors: list[np.ndarray] = []
    luck = np.random.default_rng(99).standard_normal((len(templates) * n_seeds, 16))
    for artist, name in enumerate(names):
        random = np.random.default_rng([seed, *name.encode()])
        style = random.standard_normal(16)
        works = style + random.standard_normal((N_WORKS, 16))
        if artist == 0:
            works[:SERIES] = works[0] + 0.05 * random.standard_normal((SERIES, 16))
        vectors += list(works)
        rows += [(artist, 0, "", -1)] * N_WORKS
        for place, (template, number) in enumerate((t, s) for t in templates for s in range(n_seeds)):
            vectors.append(0.5 * style + luck[place] + 0.3 * random.standard_normal(16))
            rows.append((artist, 1, template.format(artist=name, own=name[::-1]), number))
    random = np.random.default_rng(seed)
    items = [
        {
            "artist": artist, "collection": collection, "sha256": random.bytes(32), "path": f"{number}.png",
            "width": 8, "height": 8, "prompt": prompt, "seed": number_, "caption": "",
        }
        for number, (artist, collection, prompt, number_) in enumerate(rows)
    ]  # fmt: skip
    contents = Contents(
        EncoderInfo("invented", "", "ab" * 32, {"embed_dim": 16}, {"size": 32}, 16, "fp32"),
        list(names), COLLECTIONS, item_columns(items), reject_columns([]),
        created_at="2026-01-01T00:00:00+00:00", created_by="imindex test",
    )  # fmt: skip
    write(
        path, contents, iter([unit(np.array(vectors))]), ann=ann.describe(),
        ann_data=ann.exact_header(len(rows), 16), entry={},
    )  # fmt: skip
    return path


def labels(path: Path) -> np.ndarray:
    with Index(path) as index:
        return shared_prompts(index, pictures(index, "imitations")).reshape(len(NAMES), -1)


MANY = [f"scene {number} by {{artist}}" for number in range(6)]


def test_templates_are_the_prompts_up_to_the_name(tmp_path: Path) -> None:
    found = labels(release(tmp_path / "i.h5", MANY, 2))
    assert (found == found[0]).all()
    assert found[0].tolist() == np.repeat(np.arange(6), 2).tolist()


def test_with_few_templates_the_seed_is_shared_too(tmp_path: Path) -> None:
    found = labels(release(tmp_path / "i.h5", ["by {artist}", "after {artist}"], 5))
    assert (found == found[0]).all() and len(np.unique(found)) == 10


def overall(path: Path) -> tuple[Any, Any]:
    with Index(path) as index:
        matched, classified = (
            match_release(index, testing=TESTING),
            classify_release(index, by="works", testing=TESTING),
        )
        assert matched.evidence is not None and classified.methods[0].evidence is not None
        return matched, classified.methods[0]


def test_shared_prompts_widen_figures_over_artists_only(tmp_path: Path) -> None:
    """The same pictures, with prompts that have nothing in common: every artist's own interval is as before."""
    matched, named = overall(release(tmp_path / "shared.h5", MANY, 1))
    other, _ = overall(release(tmp_path / "apart.h5", [f"{{own}} {template}" for template in MANY], 1))
    assert other.evidence.overall.n_shared_prompts == 0
    assert matched.evidence.overall.n_shared_prompts == 6
    assert named.evidence.macro.n_units == min(len(NAMES), 6)
    for one, two in zip(matched.artists, other.artists, strict=True):
        assert (one.auc, one.auc_low, one.auc_high) == (two.auc, two.auc_low, two.auc_high)
        assert 0 <= one.auc_low <= one.auc <= one.auc_high <= 1
    total, before = matched.evidence.overall, other.evidence.overall
    assert total.auc == before.auc and total.auc_low != before.auc_low  # ranks: shared luck may even cancel
    assert 0 <= total.auc_low <= total.auc <= total.auc_high <= 1
    macro = named.evidence.macro
    assert 0 <= macro.top1_low <= named.macro_top1 <= macro.top1_high <= 1


def test_a_series_of_works_is_one_work(tmp_path: Path) -> None:
    path = release(tmp_path / "i.h5", MANY, 1)
    matched, _ = overall(path)
    assert [one.n_distinct_works for one in matched.artists] == [N_WORKS - SERIES + 1, *[N_WORKS] * 3]
    assert {one.n_works for one in matched.artists} == {N_WORKS}
    with Index(path) as index:
        clusters = Shared(index).clusters(Testing())
        works = pictures(index, "works")
        is_work = np.zeros(len(index.column("artist")), bool)
        is_work[works.rows] = True
        found = attribute(index, np.asarray(index.vectors[works.rows[-1]]), b"\0" * 32, is_work)
    assert clusters[:N_WORKS].tolist() == [0] * SERIES + list(range(SERIES, N_WORKS))
    ada = next(one for one in found.artists if one.artist == "Ada")
    assert (ada.n_works, ada.n_distinct_works) == (N_WORKS, N_WORKS - SERIES + 1)
    assert ada.smallest_p == pytest.approx(1 / (ada.n_distinct_works + 1))
    alone = match_release(path, testing=None)  # without tests the gap leaves the series out too
    assert [one.gap for one in alone.artists] == [one.gap for one in matched.artists]


def test_another_artist_changes_no_number_of_distinct_works(tmp_path: Path) -> None:
    few, more = (
        release(tmp_path / "few.h5", MANY, 1),
        release(tmp_path / "more.h5", MANY, 1, names=(*NAMES, "Eve")),
    )
    with Index(few) as one, Index(more) as two:
        assert (
            Shared(one).clusters(Testing()).tolist()
            == Shared(two).clusters(Testing()).tolist()[: 4 * N_WORKS]
        )
        found = [match_release(index, testing=TESTING) for index in (one, two)]
    for before, after in zip(found[0].artists, found[1].artists, strict=False):
        assert before.n_distinct_works == after.n_distinct_works
