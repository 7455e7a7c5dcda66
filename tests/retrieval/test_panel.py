"""A panel of people: what is drawn, what the pages give away, what is refused, and what the answers say."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image, PngImagePlugin

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.artists import NAMES
from imindex.retrieval.panel.answers import read_answers, read_key
from imindex.retrieval.panel.design import Size, draw_sheets, draw_trials, plan_design
from imindex.retrieval.panel.evaluate import evaluate
from imindex.retrieval.panel.pool import Pool, read_pool
from imindex.retrieval.panel.result_page import answer_sentence, result_page
from imindex.retrieval.panel.sealing import key_digest
from imindex.retrieval.panel.shown_pictures import square_webp
from imindex.retrieval.results import PanelAnswers, PanelKey, PanelResult, PanelTrial, from_json, to_json
from tests.support.commands import last_line, run, shown
from tests.support.panels import answer, attentive, guessing, panel_audit, prefers_left, signed, write_answers

SMALL = {"per_artist": 3, "works": 3, "placebo_sets": 4, "set_size": 3, "catch": 4, "repeats": 3, "side": 64}


@pytest.fixture(scope="session")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return panel_audit(tmp_path_factory.mktemp("panel-audit"))


@pytest.fixture(scope="session")
def pool(audit: Path) -> Pool:
    return read_pool(audit)


@pytest.fixture(scope="session")
def made(audit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("panel") / "panel"
    imindex.make_panel(audit, out, raters=6, seed=3, **SMALL)  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="session")
def key(made: Path) -> PanelKey:
    return read_key(made)


def data_of(page: Path) -> dict[str, object]:
    text = page.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    found = json.loads(data)
    assert isinstance(found, dict)
    return found


# Design


def test_trials_are_what_they_say(key: PanelKey, pool: Pool) -> None:
    names = {one.id: one.name for one in key.pictures}
    paths = {one.id: one.path for one in key.pictures}
    kinds = Counter(trial.kind for trial in key.trials)
    assert kinds == {"imitation": 3 * len(key.artists), "placebo": 12, "catch": 4}
    for trial in key.trials:
        own, other = (trial.a, trial.b) if trial.imitation == "a" else (trial.b, trial.a)
        works = {one.path for one in pool.works[trial.artist]}
        assert {paths[work] for work in trial.works} < works and len(set(trial.works)) == 3
        assert not {own, other} & set(trial.works)
        if trial.kind == "imitation":
            assert names[own] == trial.artist and names[other] in pool.placebos
        elif trial.kind == "placebo":
            assert {names[own], names[other]} <= set(pool.placebos) and names[own] != names[other]
        else:
            assert names[own] == trial.artist and names[other] in set(pool.works) - {trial.artist}
            assert paths[own] in works and paths[other] not in works


def test_both_pictures_of_a_trial_are_of_one_template(key: PanelKey, pool: Pool) -> None:
    template = {
        one.path: one.template
        for names in (pool.imitations, pool.placebos)
        for n in names.values()
        for one in n
    }
    paths = {one.id: one.path for one in key.pictures}
    trials = [trial for trial in key.trials if trial.kind != "catch"]
    assert all(template[paths[trial.a]] == template[paths[trial.b]] >= 0 for trial in trials)
    assert len({template[paths[trial.a]] for trial in trials}) == 2
    assert {trial.template for trial in trials} == {"artwork from {artist}", "a drawing by {artist}"}


def test_works_that_a_catch_trial_uses_are_never_shown_as_works(key: PanelKey) -> None:
    caught = {one for trial in key.trials if trial.kind == "catch" for one in (trial.a, trial.b)}
    assert len(caught) == 8
    assert not caught & {work for trial in key.trials for work in trial.works}


def test_no_picture_is_in_two_trials_and_placebo_names_are_used_alike(key: PanelKey) -> None:
    used = Counter(one for trial in key.trials for one in (trial.a, trial.b))
    assert set(used.values()) == {1}
    names = {one.id: one.name for one in key.pictures}
    for artist in {trial.artist for trial in key.trials}:
        trials = [t for t in key.trials if t.kind == "imitation" and t.artist == artist]
        others = [names[t.b if t.imitation == "a" else t.a] for t in trials]
        assert len(set(others)) == len(others) == 3
    for number in range(1, 5):
        of_set = [t for t in key.trials if t.set == number]
        assert len({t.artist for t in of_set}) == 1 and len(of_set) == 3
        assert len({names[t.a if t.imitation == "a" else t.b] for t in of_set}) == 1
        assert len({names[t.b if t.imitation == "a" else t.a] for t in of_set}) == 3


def test_the_metric_of_a_trial_is_the_share_of_works_that_are_nearer(key: PanelKey, pool: Pool) -> None:
    at = {
        one.path: pool.vectors[pool.at[one.row]]
        for names in (pool.works, pool.imitations, pool.placebos)
        for listed in names.values()
        for one in listed
    }
    paths = {one.id: one.path for one in key.pictures}
    for trial in key.trials:
        works = [
            one.path for one in pool.works[trial.artist] if one.path not in (paths[trial.a], paths[trial.b])
        ]
        near = [float(at[work] @ at[paths[trial.a]]) > float(at[work] @ at[paths[trial.b]]) for work in works]
        assert trial.metric == pytest.approx(np.mean(near))


def test_sides_are_balanced_on_every_page_and_mirrored_on_the_next(key: PanelKey) -> None:
    first = {}
    for sheet in key.sheets:
        left: dict[str, list[bool]] = {}
        seen = set()
        for one in sheet.shown:
            trial = key.trials[one.trial]
            if one.trial not in seen:
                left.setdefault(
                    f"{trial.kind}{trial.artist if trial.kind == 'imitation' else ''}", []
                ).append(one.left == trial.imitation)
                first[sheet.number, one.trial] = one.left
            seen.add(one.trial)
        assert all(abs(sum(sides) - len(sides) / 2) <= 0.5 for sides in left.values()), left
        assert seen == set(range(len(key.trials)))
    for trial in range(len(key.trials)):
        assert first[1, trial] != first[2, trial] and first[3, trial] != first[4, trial]


def test_every_page_has_another_order_and_repeats_come_late_with_sides_exchanged(key: PanelKey) -> None:
    orders = {tuple(one.trial for one in sheet.shown) for sheet in key.sheets}
    assert len(orders) == len(key.sheets)
    for sheet in key.sheets:
        places: dict[int, list[int]] = {}
        for place, one in enumerate(sheet.shown):
            places.setdefault(one.trial, []).append(place)
        twice = {trial: where for trial, where in places.items() if len(where) == 2}
        assert len(twice) == 3
        for trial, (early, late) in twice.items():
            assert key.trials[trial].kind == "imitation" and late - early > len(key.trials) / 6
            assert sheet.shown[early].left != sheet.shown[late].left


def test_ids_tell_nothing_and_are_unique(key: PanelKey) -> None:
    ids = [one.id for one in key.pictures] + [one.id for sheet in key.sheets for one in sheet.shown]
    assert len(set(ids)) == len(ids)
    # Sorted by id, as pages hold them, imitations are neither first nor last: a rank-sum test over many seeds below.
    assert [one.id for one in key.pictures] == sorted(one.id for one in key.pictures)


def test_order_ids_and_sides_do_not_tell_imitations_over_many_seeds(pool: Pool) -> None:
    """Guess from what a page shows (the place of an id, the side), for 60 panels: no better than chance."""
    right = {"id": 0, "side": 0, "first": 0}
    n = 0
    size = Size(per_artist=3, raters=1, works=3, placebo_sets=2, set_size=2, catch=0, repeats=0)
    for seed in range(60):
        drawn = draw_trials(pool, plan_design(pool, size, seed=seed), seed=seed)
        (sheet,) = draw_sheets(drawn.trials, n_raters=1, n_repeats=0, seed=seed)
        for one in sheet.shown:
            trial = drawn.trials[one.trial]
            if trial.kind == "imitation":
                own, other = (trial.a, trial.b) if trial.imitation == "a" else (trial.b, trial.a)
                right["id"] += own < other
                right["side"] += one.left == trial.imitation
                right["first"] += trial.imitation == "a"
                n += 1
    assert n > 500
    for what, count in right.items():
        assert abs(count / n - 0.5) < 3.5 * 0.5 / np.sqrt(n), (what, count, n)


def test_a_seed_repeats_a_panel_and_another_one_does_not(pool: Pool) -> None:
    design = plan_design(pool, Size(3, 2, 3, 2, 2, 2, 2), seed=5)
    assert draw_trials(pool, design, seed=5) == draw_trials(pool, design, seed=5)
    assert draw_trials(pool, design, seed=5) != draw_trials(pool, design, seed=6)


def test_placebo_pictures_that_come_twice_are_said(pool: Pool) -> None:
    design = plan_design(pool, Size(per_artist=6, works=3, placebo_sets=8, set_size=4, catch=0), seed=1)
    drawn = draw_trials(pool, design, seed=1)
    used = Counter(one for trial in drawn.trials for one in (trial.a, trial.b))
    assert max(used.values()) > 1
    assert f"in up to {max(used.values())} trials" in " ".join(drawn.notes)


def test_a_size_beyond_the_pictures_is_reduced_and_said(pool: Pool) -> None:
    design = plan_design(
        pool, Size(per_artist=500, placebo_sets=400, set_size=300, catch=300, works=3), seed=1
    )
    assert design.size.per_artist == 6 and design.size.catch < 300 and design.size.set_size == 4
    said = " ".join(design.notes)
    assert "6 trials per artist instead of 500" in said and "placebo sets instead of 400" in said
    with pytest.raises(ImindexError, match="No artist has enough pictures"):
        plan_design(pool, Size(works=12), seed=1)
    with pytest.raises(ImindexError, match="tests no artist Nobody"):
        plan_design(pool, Size(works=3), artists=["Nobody"], seed=1)
    few = plan_design(pool, Size(works=3), n_artists=2, seed=1)
    assert len(few.artists) == 2 and set(few.artists) <= set(pool.auc)


# Pages


def test_a_page_holds_nothing_of_the_key(made: Path, key: PanelKey, pool: Pool) -> None:
    for file in sorted((made / "pages").glob("*.html")):
        text = file.read_text(encoding="utf-8")
        words = {
            *pool.auc,
            *pool.placebos,
            *NAMES,
            "placebo",
            "imitation",
            ".png",
            ".h5",
            "artwork from",
            key.report,
        }
        words |= {one.path for one in key.pictures} | {one.sha256 for one in key.pictures} | {str(key.seed)}
        outside = re.sub(r'"pictures": \{.*?\}', "", text, flags=re.DOTALL)
        visible = outside.replace("imindex-panel", "")
        assert not {word for word in words if len(word) > 3 and word in visible}, file
        assert key.digest in text
        data = data_of(file)
        assert set(data) == {"version", "panel", "sheet", "side", "trials", "pictures"}
        assert all(set(one) == {"id", "works", "left", "right"} for one in data["trials"])  # type: ignore[attr-defined]
        assert list(data["pictures"]) == sorted(data["pictures"])  # type: ignore[call-overload]


def test_all_pictures_of_a_page_have_one_size_and_format_and_no_metadata(made: Path) -> None:
    import base64

    data = data_of(made / "pages/rater-01.html")
    pictures = data["pictures"]
    assert isinstance(pictures, dict) and len(pictures) > 30
    for encoded in pictures.values():
        raw = base64.b64decode(encoded)
        with Image.open(io.BytesIO(raw)) as picture:
            assert (picture.format, picture.size, picture.mode) == ("WEBP", (64, 64), "RGB")
            assert not {"exif", "xmp", "icc_profile", "comment"} & set(picture.info)
        assert not [chunk for chunk in (b"EXIF", b"XMP ", b"ICCP", b"VP8X") if chunk in raw[:64]]


def test_a_picture_loses_its_texts_shape_and_size() -> None:
    for size in ((40, 90), (300, 100), (64, 64)):
        picture = Image.effect_noise(size, 60).convert("RGB")
        texts = PngImagePlugin.PngInfo()
        texts.add_text("parameters", "Artwork from Ada Example")
        out = io.BytesIO()
        picture.save(out, "PNG", pnginfo=texts)
        data = square_webp(out.getvalue(), 96)
        assert b"Ada" not in data
        with Image.open(io.BytesIO(data)) as again:
            assert again.size == (96, 96)


def test_pages_need_no_outside_and_their_policy_allows_their_script_only(made: Path) -> None:
    text = (made / "pages/rater-01.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', text)
    assert "http:" not in text and "https:" not in text
    assert "default-src 'none'" in text and re.search(r"script-src 'sha256-[A-Za-z0-9+/=]+'", text)


def test_a_changed_picture_and_a_taken_folder_are_refused(audit: Path, tmp_path: Path) -> None:
    import shutil

    copied = shutil.copytree(audit.parent, tmp_path / "all")
    folder = copied / audit.name
    out = tmp_path / "panel"
    out.mkdir()
    with pytest.raises(ImindexError, match="exists"):
        imindex.make_panel(folder, out, **SMALL)  # type: ignore[arg-type]
    for work in (copied / "works").rglob("*.png"):
        Image.effect_noise((80, 80), 50).convert("RGB").save(work)
    with pytest.raises(ImindexError, match="has changed"):
        imindex.make_panel(folder, tmp_path / "other", **SMALL)  # type: ignore[arg-type]
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"raters": 0},
        {"works": 13},
        {"catch": -1},
        {"side": 1},
        {"level": 0},
        {"least_catch": 2},
        {"seed": -1},
    ],
)
def test_numbers_beyond_their_range_are_refused(audit: Path, tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ImindexError, match=f"{next(iter(wrong))} is .* Write a"):
        imindex.make_panel(audit, tmp_path / "panel", **wrong)  # type: ignore[arg-type]


def test_an_audit_that_is_edited_or_without_placebo_names_is_refused(audit: Path, tmp_path: Path) -> None:
    folder = tmp_path / "edited"
    folder.mkdir()
    (folder / "register.jsonl").write_bytes((audit / "register.jsonl").read_bytes())
    with pytest.raises(ImindexError, match="not finished"):
        read_pool(folder)
    text = (audit / "report.json").read_text(encoding="utf-8")
    (folder / "report.json").write_text(re.sub(r'"title": ".*?"', '"title": "other"', text), encoding="utf-8")
    with pytest.raises(ImindexError, match="edited"):
        read_pool(folder)
    with pytest.raises(ImindexError, match="no release late"):
        read_pool(audit, "late")
    with pytest.raises(ImindexError, match="no encoder other"):
        read_pool(audit, None, "other")


# Answers


@pytest.fixture
def files(key: PanelKey, tmp_path: Path) -> list[Path]:
    return write_answers(tmp_path / "answers", [answer(key, n, attentive(0.9)) for n in (1, 2, 3)])


def test_answers_are_read_in_the_order_of_pages(key: PanelKey, files: list[Path]) -> None:
    assert [one.answers.sheet for one in read_answers(key, files[::-1])] == [1, 2, 3]
    assert [one.answers.sheet for one in read_answers(key, [files[0].parent])] == [1, 2, 3]
    assert len(read_answers(key, [files[0], files[0]])) == 1  # named twice, there once


def refused(key: PanelKey, path: Path, answers: PanelAnswers | bytes) -> str:
    path.write_bytes(answers if isinstance(answers, bytes) else to_json(answers))
    with pytest.raises(ImindexError) as caught:
        read_answers(key, [path])
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_damaged_edited_and_foreign_answers_are_refused(key: PanelKey, tmp_path: Path) -> None:
    good, file = answer(key, 1, attentive(0.9)), tmp_path / "a.json"
    flipped = replace(good.answers[4], side="left" if good.answers[4].side == "right" else "right")
    edited = replace(good, answers=(*good.answers[:4], flipped, *good.answers[5:]))
    assert "edited" in refused(key, file, edited)
    assert "edited" in refused(key, file, replace(good, rater="0" * 12))
    assert "another panel" in refused(key, file, signed(replace(good, panel="0" * 64)))
    assert "page 99" in refused(key, file, signed(replace(good, sheet=99)))
    assert "trials are missing" in refused(key, file, signed(replace(good, answers=good.answers[1:])))
    swapped = (good.answers[1], good.answers[0], *good.answers[2:])
    assert "another order" in refused(key, file, signed(replace(good, answers=swapped)))
    twice = (*good.answers[:3], good.answers[2], *good.answers[3:])
    assert "answered twice" in refused(key, file, signed(replace(good, answers=twice)))
    other = answer(key, 2, attentive(0.9))
    foreign = (*good.answers[:3], other.answers[3], *good.answers[4:])
    assert "does not show" in refused(key, file, signed(replace(good, answers=foreign)))
    whole = to_json(good)
    assert "not JSON" in refused(key, file, whole[: len(whole) // 2])
    assert "side" in refused(key, file, whole.replace(b'"left"', b'"middle"', 1))
    assert "ms" in refused(key, file, re.sub(rb'"ms": \d+', b'"ms": -5', whole, count=1))
    assert "unknown field" in refused(key, file, whole.replace(b"{", b'{"extra": 1, ', 1))


def test_a_rater_or_a_page_that_is_there_twice_is_refused(
    key: PanelKey, files: list[Path], tmp_path: Path
) -> None:
    again = tmp_path / "again.json"
    again.write_bytes(files[0].read_bytes())
    with pytest.raises(ImindexError, match="the same rater"):
        read_answers(key, [*files, again])
    again.write_bytes(to_json(signed(replace(answer(key, 1, guessing, seed=9), rater="ab" * 6))))
    with pytest.raises(ImindexError, match="the same page, 1"):
        read_answers(key, [*files, again])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImindexError, match="no answers"):
        read_answers(key, [tmp_path / "empty"])


def test_a_changed_key_is_refused(made: Path, key: PanelKey, tmp_path: Path) -> None:
    assert key_digest(key) == key.digest
    file = tmp_path / "key.json"
    for change in (
        replace(key, rule=replace(key.rule, least_catch=0.1)),
        replace(
            key,
            trials=(
                replace(key.trials[0], imitation="b" if key.trials[0].imitation == "a" else "a"),
                *key.trials[1:],
            ),
        ),
        replace(key, artists=(replace(key.artists[0], auc=0.1), *key.artists[1:])),
    ):
        file.write_bytes(to_json(change))
        with pytest.raises(ImindexError, match="its digest is wrong"):
            read_key(file)
    # A key that was changed and given a fitting digest no longer fits the pages and the answers.
    forged = replace(key, rule=replace(key.rule, least_catch=0.1))
    forged = replace(forged, digest=key_digest(forged))
    file.write_bytes(to_json(forged))
    good = tmp_path / "a.json"
    good.write_bytes(to_json(answer(key, 1, attentive(0.9))))
    with pytest.raises(ImindexError, match="another panel"):
        read_answers(read_key(file), [good])
    with pytest.raises(ImindexError, match="does not exist"):
        read_key(tmp_path / "none.json")


# Evaluation


def choices_by_hand(key: PanelKey, answers: list[PanelAnswers]) -> dict[tuple[int, int], float]:
    """By rater and trial, whether the picture that the key marks was chosen, at the first showing."""
    found: dict[tuple[int, int], float] = {}
    for row, one in enumerate(answers):
        sheet = next(sheet for sheet in key.sheets if sheet.number == one.sheet)
        by_id = {shown.id: shown for shown in sheet.shown}
        for given in one.answers:
            shown_trial = by_id[given.id]
            right = {"a": "b", "b": "a"}[shown_trial.left]
            picture = shown_trial.left if given.side == "left" else right
            found.setdefault(
                (row, shown_trial.trial), float(picture == key.trials[shown_trial.trial].imitation)
            )
    return found


def test_figures_are_those_of_a_recomputation_by_hand(key: PanelKey) -> None:
    answers = [answer(key, n, attentive(0.8, other=0.6)) for n in range(1, 6)]
    result = evaluate(key, answers)
    assert result.kept is not None and result.kept is result.everybody
    chosen = choices_by_hand(key, answers)
    for one in result.kept.artists:
        places = [n for n, t in enumerate(key.trials) if t.kind == "imitation" and t.artist == one.artist]
        trials = [np.mean([chosen[row, n] for row in range(5)]) for n in places]
        assert one.share == pytest.approx(np.mean(trials)) and one.n_answers == 15
        values = np.array(trials) - 0.5
        signs = np.array(np.meshgrid(*[[1, -1]] * len(values))).reshape(len(values), -1).T
        assert one.p_half == pytest.approx(np.mean(signs @ values >= values.sum() - 1e-9))
        picks = [key.trials[n].metric for n in places]
        own = [
            m if key.trials[n].imitation == "a" else 1 - m
            for n, m in zip(places, picks, strict=True)
            if m is not None
        ]
        assert one.metric == pytest.approx(np.mean([1 if m > 0.5 else 0.5 if m == 0.5 else 0 for m in own]))
        assert one.p == pytest.approx(max(one.p_half, one.p_placebo))  # type: ignore[type-var]
    sets = []
    for number in range(1, 5):
        places = [n for n, t in enumerate(key.trials) if t.set == number]
        sets.append(np.mean([[chosen[row, n] for row in range(5)] for n in places]))
    assert list(result.kept.placebo_shares) == pytest.approx(sets)
    left = [np.mean([given.side == "left" for given in one.answers]) for one in answers]
    assert result.kept.left.value == pytest.approx(np.mean(left))
    assert result.kept.catch.value == 1
    assert result.kept.overall.value == pytest.approx(np.mean([one.share for one in result.kept.artists]))
    adjusted = sorted(one.p_adjusted or 0 for one in result.kept.artists)
    from scipy.stats import false_discovery_control

    assert adjusted == pytest.approx(sorted(false_discovery_control([one.p for one in result.kept.artists])))


def test_repeated_trials_measure_self_agreement(key: PanelKey) -> None:
    def steady(trial: PanelTrial, side: str) -> float:
        return float(trial.a < trial.b)

    assert all(one.alike == 1 for one in evaluate(key, [answer(key, n, steady) for n in (1, 2)]).raters)
    always = evaluate(key, [answer(key, n, lambda t, side: float(side == "left")) for n in (1, 2)])
    assert always.everybody.alike.value == 0  # sides are exchanged the second time
    assert always.everybody.left.value == 1


def test_the_rule_of_the_key_excludes_and_both_ways_are_reported(key: PanelKey) -> None:
    def wrong(trial: PanelTrial, side: str) -> float:
        return 0.0

    answers = [
        *(answer(key, n, attentive(1.0)) for n in (1, 2, 3)),
        answer(key, 4, wrong),
        answer(key, 5, attentive(1.0), n=20),
    ]
    result = evaluate(key, answers)
    why = {one.sheet: one.excluded for one in result.raters}
    assert why == {1: "", 2: "", 3: "", 4: "0 of 4 catch trials right", 5: "did not finish"}
    assert result.kept is not None
    assert result.kept.n_raters == 3 and result.everybody.n_raters == 5
    assert result.kept.overall.value == 1 and (result.everybody.overall.value or 0) < 0.9
    nobody = evaluate(key, [answer(key, 1, wrong)])
    assert nobody.kept is None and "excludes every rater" in " ".join(nobody.notes)
    lenient = replace(key, rule=replace(key.rule, least_catch=0.0))
    assert evaluate(lenient, answers[:4]).kept is not None
    assert [one.excluded for one in evaluate(lenient, answers[:4]).raters] == [""] * 4


def test_the_order_of_answers_does_not_matter(key: PanelKey) -> None:
    answers = [answer(key, n, attentive(0.7)) for n in (1, 2, 3, 4)]
    assert to_json(evaluate(key, answers)) == to_json(evaluate(key, answers[::-1]))


def test_nobody_is_found_by_guessing_or_preferring_a_side(key: PanelKey) -> None:
    for chance in (guessing, prefers_left):
        found = 0
        for seed in range(8):
            answers = [answer(key, n, chance, seed=seed) for n in range(1, 7)]
            result = evaluate(key, answers)
            found += result.everybody.n_chosen
            if result.kept is not None and not result.kept.n_chosen:
                said = answer_sentence(result)
                assert (
                    "is it shown that people find" in said
                    and "That is not a finding that they do not." in said
                )
        assert found <= 1


def test_a_panel_with_one_answer_has_no_intervals_and_no_error(key: PanelKey) -> None:
    result = evaluate(key, [answer(key, 1, guessing, n=1)])
    assert result.kept is None and result.everybody.n_raters == 1
    assert answer_sentence(result).startswith("There is no answer, because the rule")
    assert "People chose" not in result_page(result)
    assert all(one.low is None for one in result.everybody.artists)
    assert evaluate(key, [answer(key, 1, guessing, n=0)]).everybody.n_raters == 0


# Commands


def test_the_commands_make_and_read_a_panel(audit: Path, tmp_path: Path) -> None:
    out, size = (
        tmp_path / "panel",
        ["--per-artist", 3, "--works", 3, "--catch", 4, "--repeats", 2, "--raters", 3],
    )
    said = json.loads(run("panel", "make", audit, "--dry-run", "--json", *size, "--seed", 1).stdout)
    assert not out.exists() and said["n_raters"] == 3
    assert said["n_shown"] == said["n_imitation"] + said["n_placebo"] + 4 + 2
    assert 0 <= said["power"][0]["together"] <= said["power"][-1]["together"] <= 1
    assert "Nothing was written." in run("panel", "make", audit, "--dry-run", *size).output
    result = run("panel", "make", audit, "--out", out, *size, "--side", 48)
    key = read_key(out)
    assert key.digest in last_line(result) and len(list((out / "pages").iterdir())) == 3
    assert len(key.sheets[0].shown) == said["n_shown"]
    run("panel", "make", audit, "--out", out, *size, code=1)
    run("panel", "make", audit, "--out", out, *size, "--side", 48, "--force")
    key = read_key(out)
    files = write_answers(tmp_path / "answers", [answer(key, n, attentive(0.95)) for n in (1, 2, 3)])
    read = run("panel", "read", out, *files, "--json", "--html", tmp_path / "result.html")
    again = from_json(PanelResult, read.stdout)
    assert again.panel == key.digest and len(again.raters) == 3
    page = (tmp_path / "result.html").read_text(encoding="utf-8")
    assert key.digest in page and "Krippendorff" in page
    said_ = shown("panel", "read", out, tmp_path / "answers")
    assert "imitation chosen" in said_ and "agreement of raters" in said_
    assert run("panel", "read", out, tmp_path / "answers").stdout.startswith("artist\tshare\t")
    assert run("panel", "read", out, tmp_path / "answers", "--csv").stdout.startswith("artist,share,")


def test_without_a_seed_two_panels_differ(audit: Path, tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        imindex.make_panel(audit, tmp_path / name, raters=1, **SMALL)  # type: ignore[arg-type]
        keys.append(read_key(tmp_path / name))
    assert keys[0].seed != keys[1].seed and keys[0].digest != keys[1].digest
    assert from_json(PanelKey, (tmp_path / "one/key.json").read_bytes()).seed == keys[0].seed
