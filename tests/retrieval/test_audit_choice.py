"""An encoder that was chosen by a comparison on works alone: what the audit checks, registers and reports."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.chosen import choice_of, protocol_digests, save_comparison
from imindex.retrieval.audit.plan import Plan, read_plan
from imindex.retrieval.audit.register import changed, read_register
from imindex.retrieval.protocol.compare import Encoded, compare_indexes
from imindex.retrieval.results import EncoderComparison, from_json, to_json
from tests.support.audits import draw, run_plan
from tests.support.commands import run
from tests.support.example_index import ENCODER
from tests.support.works_index import save_works, world

ARTISTS = [f"Artist {i:02}" for i in range(8) for _ in range(4)]
PLAN = """\
title = "chosen"

[artists]
tested = ["Ada Example", "Bo Sample"]

[[releases]]
name = "r1"
pictures = "imitations/r1"
placebos = ["Nobody *"]

[[encoders]]
model = "demo"
precision = "fp32"

[tests]
n_resamples = 99
adjust = "bh"
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan with works of four artists, a release of pictures, and an encoder that was chosen by a comparison."""
    for place, artist in enumerate(("Ada Example", "Bo Sample", "Cy Background", "Di Background")):
        draw(tmp_path / "works" / artist, 3, 100 * place)
    for place, name in enumerate(("Ada Example", "Bo Sample", "Nobody One", "Nobody Two")):
        draw(tmp_path / "imitations" / "r1" / name, 2, 1000 + 100 * place)
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    line = ["encoders", "compare", "--plan", path, "--out", tmp_path / "encoders", "--device", "cpu"]
    run(*line, "--resamples", "99", "--choose", "demo")
    return path


def test_an_audit_reports_how_its_encoder_was_chosen(plan: Path) -> None:
    outcome = run_plan(plan.parent)
    (record,) = outcome.report.encoders
    choice = record.chosen
    assert choice is not None
    assert (
        choice.protocol == "encoders/encoders.json" and choice.recommended and not choice.imitations_present
    )
    assert choice.differences == () and (choice.n_works, choice.n_artists) == (12, 4)
    folder = plan.parent / "audit"
    assert read_register(folder)[0].inputs["encoder protocol encoders/encoders.json"] == choice.sha256
    page = (folder / "report.html").read_text()
    assert "was chosen on works alone, by encoders/encoders.json" in page and choice.sha256 in page
    assert "No index held imitations then" in page
    comparison = plan.parent / "encoders" / "encoders.json"
    comparison.write_bytes(comparison.read_bytes() + b"\n")
    with pytest.raises(ImindexError, match="has changed since demo was chosen by it"):
        run_plan(plan.parent)


def _chosen(folder: Path, result: EncoderComparison, **keys: str) -> Plan:
    (folder / "encoders.json").write_bytes(to_json(result))
    plan = folder / "plan.toml"
    plan.write_text(PLAN)
    digest = hashlib.sha256((folder / "encoders.json").read_bytes()).hexdigest()
    stated = {"chosen_by": "encoders.json", "chosen_sha256": digest, "chosen_on": "2026-01-01", **keys}
    lines = "".join(f'{key} = "{value}"\n' for key, value in stated.items())
    plan.write_text(PLAN.replace('precision = "fp32"\n', f'precision = "fp32"\n{lines}'))
    return read_plan(plan)


@pytest.fixture
def compared(tmp_path: Path) -> EncoderComparison:
    save_works(tmp_path / "demo.h5", world(8, 4, seed=1), ARTISTS)
    return compare_indexes([Encoded("demo", tmp_path / "demo.h5")], n_resamples=99)


def test_what_differs_between_comparison_and_audit_is_said(
    compared: EncoderComparison, tmp_path: Path
) -> None:
    plan = _chosen(tmp_path, compared)
    (spec,) = plan.encoders
    with Index(tmp_path / "demo.h5") as index:
        same = choice_of(plan, spec, index)
    assert same is not None and same.differences == ()
    numbers = list(range(len(ARTISTS)))
    numbers[0] = 999  # another work by the first artist
    artists = [name if name != "Artist 07" else "Somebody Else" for name in ARTISTS]
    save_works(tmp_path / "other.h5", world(8, 4, dim=12, seed=1), artists, numbers=numbers, n_imitations=3)
    with Index(tmp_path / "other.h5") as index:
        other = choice_of(plan, spec, index)
    assert other is not None
    said = " ".join(other.differences)
    assert "weights of the encoder are not those" in said
    assert "Artists with other works than those compared: Artist 00." in said
    assert "Artists of the audit that were not compared: Somebody Else." in said
    assert "Artists compared that are not in the audit: Artist 07." in said


def test_an_encoder_of_another_configuration_or_preprocessing_is_not_the_one_compared(
    compared: EncoderComparison, tmp_path: Path
) -> None:
    plan = _chosen(tmp_path, compared)
    for place, change in enumerate(
        ({"config": {**ENCODER.config, "pool": "avg"}}, {"preprocess": {**ENCODER.preprocess, "size": 48}})
    ):
        other = tmp_path / f"{place}.h5"
        save_works(
            other, world(8, 4, seed=1), ARTISTS, model="demo?size=48", encoder=replace(ENCODER, **change)
        )
        with Index(other) as index:
            choice = choice_of(plan, plan.encoders[0], index)
        assert choice is not None
        (said,) = choice.differences
        assert "configuration or preprocessing of the encoder" in said
        assert "demo was compared, and demo?size=48 is used" in said


def test_a_plan_that_was_edited_after_the_choice_is_noticed(plan: Path) -> None:
    plan.write_text(PLAN.replace('"demo"', '"demo-style"'))
    line = ["encoders", "compare", "--plan", plan, "--out", plan.parent / "encoders", "--device", "cpu"]
    run(*line, "--resamples", "99", "--choose", "demo-style")
    plan.write_text(plan.read_text().replace('model = "demo-style"', 'model = "demo-style?size=48"'))
    (record,) = run_plan(plan.parent).report.encoders
    assert record.name == "demo-style" and record.chosen is not None
    (said,) = record.chosen.differences
    assert "demo-style was compared, and demo-style?size=48 is used" in said


def test_a_comparison_without_the_digest_of_the_encoder_says_so(
    compared: EncoderComparison, tmp_path: Path
) -> None:
    stored = compared.to_dict()
    del stored["encoders"][0]["identity_sha256"]
    old = from_json(EncoderComparison, json.dumps(stored).encode())
    plan = _chosen(tmp_path, old)
    with Index(tmp_path / "demo.h5") as index:
        choice = choice_of(plan, plan.encoders[0], index)
    assert choice is not None
    (said,) = choice.differences
    assert "whether these are the ones that were compared is not known" in said


def test_imitations_and_another_recommendation_are_said(tmp_path: Path) -> None:
    save_works(tmp_path / "demo.h5", world(8, 4, apart=0.1, seed=1), ARTISTS, n_imitations=4)
    save_works(tmp_path / "better.h5", world(8, 4, apart=2.0, seed=1), ARTISTS)
    encoded = [Encoded(name, tmp_path / f"{name}.h5") for name in ("demo", "better")]
    plan = _chosen(tmp_path, compare_indexes(encoded, n_resamples=999))
    with Index(tmp_path / "demo.h5") as index:
        choice = choice_of(plan, plan.encoders[0], index)
    assert choice is not None and choice.imitations_present and not choice.recommended
    assert choice.n_encoders == 2


def test_a_protocol_that_is_missing_or_another_is_refused(
    compared: EncoderComparison, tmp_path: Path
) -> None:
    plan = _chosen(tmp_path, compared)
    assert set(protocol_digests(plan)) == {"encoder protocol encoders.json"}
    for keys, message in (
        ({"chosen_sha256": "0" * 64}, "has changed since demo was chosen"),
        ({"chosen_by": "gone.json"}, "cannot be read"),
    ):
        with pytest.raises(ImindexError, match=message):
            protocol_digests(_chosen(tmp_path, compared, **keys))
    plain = tmp_path / "plain.toml"
    plain.write_text(PLAN)
    assert protocol_digests(read_plan(plain)) == {}


def test_a_choice_outlives_later_comparisons_into_the_same_folder(plan: Path) -> None:
    """The plan names encoders.json by its digest; other comparisons replace this file, and keep it beside."""
    first = run_plan(plan.parent).report.encoders[0].chosen
    comparison = plan.parent / "encoders" / "encoders.json"
    chosen = comparison.read_bytes()
    kept = comparison.with_name(f"encoders-{hashlib.sha256(chosen).hexdigest()[:12]}.json")
    line = ["encoders", "compare", "--plan", plan, "--out", comparison.parent, "--device", "cpu"]
    for resamples in ("199", "299"):
        replaced = comparison.read_bytes()
        said = run(*line, "--resamples", resamples).stderr
        digest = hashlib.sha256(replaced).hexdigest()[:12]
        assert f"kept as {comparison.with_name(f'encoders-{digest}.json')}" in said
        assert comparison.read_bytes() != replaced and kept.read_bytes() == chosen
    assert len(list(comparison.parent.glob("encoders*.json"))) == 3
    again = run_plan(plan.parent).report.encoders[0].chosen
    assert again == first and again is not None
    run("verify", "--results", plan.parent / "audit", "--plan", plan, "--device", "cpu")

    comparison.unlink()
    assert run_plan(plan.parent).report.encoders[0].chosen == first
    kept.write_bytes(chosen + b"\n")  # its name is no proof; its digest is
    with pytest.raises(ImindexError, match="cannot be read"):
        run_plan(plan.parent)


@pytest.mark.parametrize("sha256", ["../../../etc/passwd", "", "0" * 63])
def test_a_digest_that_is_none_leads_nowhere(
    compared: EncoderComparison, tmp_path: Path, sha256: str
) -> None:
    with pytest.raises(ImindexError, match="has changed since demo was chosen"):
        protocol_digests(_chosen(tmp_path, compared, chosen_sha256=sha256))


def test_a_comparison_that_is_the_same_is_not_kept_twice(compared: EncoderComparison, tmp_path: Path) -> None:
    file = tmp_path / "encoders.json"
    assert save_comparison(compared, file) is None and save_comparison(compared, file) is None
    before = file.read_bytes()
    kept = save_comparison(structs.replace(compared, created="2026-01-01"), file)
    assert kept is not None and kept.read_bytes() == before
    assert [path.name for path in sorted(tmp_path.glob("*.json"))] == [kept.name, "encoders.json"]


def test_a_changed_protocol_is_named_in_a_refusal() -> None:
    assert changed({"encoder protocol e.json": "a"}, {"encoder protocol e.json": "b"}) == ["e.json"]
