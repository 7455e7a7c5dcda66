"""The names that an audit asks for: matched placebo names, secret seeds, further real names, old drawings."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.historical_artists import historical_artists
from imindex.indexer.generate.name_banks import BANKS
from imindex.indexer.generate.placebo_names import placebo_names
from imindex.retrieval.audit import assess
from imindex.retrieval.audit.inputs import gather, needed_placebos
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.register import drawing_of, read_register
from imindex.retrieval.audit.rivals import further_rivals, rivals_needed
from tests.support.audits import PLAN, change, draw, run_plan
from tests.support.commands import run
from tests.support.places import DATA

SMALLEST = """
[artists]
tested = ["Jan Kowalczyk", "Keiko Tsukada"]
[[releases]]
name = "r1"
model = "models/one"
[[encoders]]
model = "demo"
"""


def plan_of(root: Path, text: str) -> Path:
    (root / "plan.toml").write_text(text, encoding="utf-8")
    return root / "plan.toml"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for number, artist in enumerate(("Jan Kowalczyk", "Keiko Tsukada", "Claude Monet")):
        draw(tmp_path / "works" / artist, 1, 10 * number)
    return tmp_path


# Plans


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[artists]", 'rivals = "some"\n[artists]'), r'rivals is \'some\'\. Write "auto"'),
        (("[artists]", "rivals = -1\n[artists]"), "rivals is -1"),
        (("[artists]", "rivals = 1.5\n[artists]"), r'rivals is 1\.5\. Write "auto"'),
        (("[artists]", 'rivals = ["KOWALCZYK, Jan"]\n[artists]'), r"rivals: 'KOWALCZYK, Jan' is a tested artist"),
        (("[artists]", 'rivals = ["A B", "A B"]\n[artists]'), "rivals: The name 'A B' is listed twice"),
        (("[[releases]]", 'origins = { "Bo" = "x" }\n[[releases]]'), "origins: 'Bo' is not tested"),
        (("[[releases]]", "origins = 3\n[[releases]]"), "artists.origins is 3. Write origins by artist"),
        (("[[releases]]", 'unknown = ["Bo"]\n[[releases]]'), "unknown: 'Bo' is neither tested nor a rival"),
        (("[[encoders]]", '[prompts]\nplacebo_seed = "7"\n[[encoders]]'), r"placebo_seed is '7'\. Write from:FILE"),
        (("[[encoders]]", '[prompts]\nplacebos = "by origin"\n[[encoders]]'), '"auto by origin"'),
    ],
)  # fmt: skip
def test_wrong_keys_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(ImindexError, match=message):
        read_plan(plan_of(tmp_path, SMALLEST.replace(*change)))


def test_keys_that_are_not_used_leave_the_digest_of_a_plan_as_it_was(tmp_path: Path) -> None:
    digest = read_plan(plan_of(tmp_path, SMALLEST)).digest
    archived = DATA / "audits/0.1.0"
    register = json.loads((archived / "plan-audit/register.jsonl").read_text().splitlines()[0])
    assert read_plan(archived / "plan.toml").digest == register["plan"]
    for more in (
        'rivals = "none"\n', "rivals = 0\n", 'rivals = "auto"\n', "rivals = 3\n", 'rivals = ["Ada Example"]\n',
    ):  # fmt: skip
        same = read_plan(plan_of(tmp_path, more + SMALLEST)).digest == digest
        assert same == ("none" in more or "= 0" in more)
    for more in ('origins = { "Jan Kowalczyk" = "polish" }', 'unknown = ["Jan Kowalczyk"]'):
        text = SMALLEST.replace("[[releases]]", f"{more}\n[[releases]]")
        assert read_plan(plan_of(tmp_path, text)).digest != digest
    text = SMALLEST + '[prompts]\nplacebo_seed = "from:s"\n'
    assert read_plan(plan_of(tmp_path, text)).digest != digest


def test_origins_may_be_in_the_file_of_artists(tmp_path: Path) -> None:
    text = SMALLEST.replace('tested = ["Jan Kowalczyk", "Keiko Tsukada"]', 'file = "artists.csv"')
    (tmp_path / "artists.csv").write_text("artist,origin\nAda Example,polish\nBo Sample,\n")
    plan = read_plan(plan_of(tmp_path, text))
    assert plan.tested == ("Ada Example", "Bo Sample") and plan.origins == {"Ada Example": "polish"}


# Placebo names


def test_placebo_names_match_and_references_are_chosen_before_pictures(place: Path) -> None:
    text = SMALLEST + '[prompts]\nplacebos = {}\n[tests]\nadjust = "bh"\n'
    plan = read_plan(plan_of(place, text.format(100)))
    needed = needed_placebos(plan)
    assert needed == 39
    inputs = gather(plan)
    names = inputs.placebos["r1"]
    by_origin = Counter(
        next(origin for origin, bank in BANKS.items() if name.split()[-1] in bank.surnames) for name in names
    )
    assert by_origin == {"west slavic": 50, "japanese": 50}
    (release,) = plan.releases
    testing = assess.testing_of(plan, release, inputs)
    assert testing.references is not None
    assert {artist: len(chosen) for artist, chosen in testing.references.items()} == dict.fromkeys(
        plan.tested, 50
    )
    notes = " ".join(inputs.notes)
    assert "Origins of 2 of 2 names were guessed" in notes
    assert "Jan Kowalczyk: west slavic (surname Kowalczyk in the lists of names)" in notes
    assert "2 of 2 artists are compared with the placebo names of their own origin" in notes
    few = gather(read_plan(plan_of(place, text.format(60))))
    assert few.placebos["r1"] == names[:60] and few.references["r1"] == {}
    assert "0 of 2 artists are compared" in " ".join(few.notes)
    every = gather(read_plan(plan_of(place, text.format('"auto by origin"'))))
    assert len(every.placebos["r1"]) == 2 * needed and len(every.references["r1"]) == 2


def test_an_unknown_origin_is_accepted_and_said(place: Path) -> None:
    text = SMALLEST.replace("[[releases]]", 'origins = { "Jan Kowalczyk" = "unknown" }\n[[releases]]', 1)
    inputs = gather(read_plan(plan_of(place, text + "[prompts]\nplacebos = 60\n")))
    assert [one.origin for one in inputs.origins] == ["", "japanese"]
    assert "artists of unknown origin: Jan Kowalczyk (stated)" in " ".join(inputs.notes)


def test_old_audits_keep_their_names(place: Path) -> None:
    plan = read_plan(plan_of(place, SMALLEST + "[prompts]\nplacebos = 5\n"))
    avoid = ["Claude Monet", *plan.tested]
    old = gather(plan, drawing=1)
    assert list(old.placebos["r1"]) == placebo_names(5, seed=0, avoid=avoid)
    assert old.origins == () and assess.testing_of(plan, plan.releases[0], old).references is None
    assert drawing_of(place / "audit") == 2
    assert drawing_of(DATA / "audits/0.1.0/plan-audit") == 1
    (place / "audit/imitations/r1").mkdir(parents=True)
    assert drawing_of(place / "audit") == 1  # pictures without a register are of the first version


def test_a_secret_seed_is_registered_by_its_digest(place: Path) -> None:
    text = SMALLEST + '[prompts]\nplacebos = 8\nplacebo_seed = "from:my.seed"\n'
    plan = read_plan(plan_of(place, text))
    with pytest.raises(ImindexError, match=r"my\.seed, does not exist"):
        gather(plan)
    secret = place / "my.seed"
    secret.write_bytes(b"s" * 32)
    secret.chmod(0o644)
    inputs = gather(plan)
    assert inputs.digests["placebo seed"] == hashlib.sha256(b"s" * 32).hexdigest()
    assert "can be read by other users" in " ".join(inputs.notes)
    without = read_plan(plan_of(place, text.replace('placebo_seed = "from:my.seed"', "")))
    for drawing in (1, 2):
        names = gather(plan, drawing=drawing).placebos["r1"]
        assert not set(names) & set(gather(without, drawing=drawing).placebos["r1"])


# Further real names


def test_as_many_rivals_are_asked_for_as_the_level_needs(place: Path) -> None:
    def rivals(said: str, more: str = "") -> tuple[str, ...]:
        return further_rivals(
            read_plan(plan_of(place, f"rivals = {said}\n{SMALLEST}{more}")), {"Claude Monet"}
        )

    assert len(rivals('"auto"')) == 39 - 1  # the other tested artist is a rival too
    assert len(rivals('"auto"', "[tests]\nlevel = 0.01")) == 99 - 1
    assert rivals('"none"') == rivals("0") == ()
    assert rivals("5") == rivals('"auto"')[:5]
    assert rivals('["Ada Example"]') == ("Ada Example",)
    listed = {one.artist for one in historical_artists()}
    assert set(rivals('"auto"')) <= listed
    assert "Claude Monet" not in rivals(str(len(listed) - 1))  # Monet died in 1926, and has works here
    with pytest.raises(ImindexError, match="'MONET Claude' has works, as Claude Monet"):
        rivals('["MONET Claude"]')
    with pytest.raises(ImindexError, match=r"rivals: 1,000 further real names were requested"):
        rivals("1000")
    # With level / 2 reached, BH over those whose name test passed calls half of them.
    for level in (0.2, 0.1, 0.05, 0.02):
        assert 1 / (1 + rivals_needed(level)) <= level / 2 + 1e-12
    for level in (0.01, 0.005):
        assert 1 / (1 + rivals_needed(level)) <= level + 1e-12


@pytest.mark.usefixtures("one_thread")
def test_an_audit_asks_for_rivals_and_reports_them(world: Path, tmp_path: Path, tiny_model: str) -> None:
    root = tmp_path / "world"
    root.mkdir()
    shutil.copytree(world / "works", root / "works")
    (root / "models").symlink_to(world / "models")
    plan_of(root, "rivals = 4\n" + PLAN.format(encoder=tiny_model))
    change(root, "placebos = 3", 'placebos = 3\nplacebo_seed = "from:s"')
    (root / "s").write_bytes(b"0123456789abcdef0123")
    (root / "s").chmod(0o600)
    said = run(
        "audit", root / "plan.toml", "--dry-run", "--device", "cpu", "--json", "--out", root / "audit"
    ).stdout
    forecast = json.loads(said)
    generated = next(stage for stage in forecast["stages"] if stage["what"] == "generate one")
    assert generated["total"] == 2 * (2 + 3 + 4) + 2
    assert any("3 placebo names and 4 further real names" in note for note in forecast["notes"])
    outcome = run_plan(root)
    report = outcome.report
    names = {one.artist for one in historical_artists()}
    for release in report.releases:
        assert len(release.rivals) == 4 and set(release.rivals) <= names
        assert release.n_placebo_names == 3 and release.n_imitations == 2 * (2 + 3 + 4)
    for result in report.results:
        assert [row.artist for row in result.artists] == ["Ada Example", "Bo Sample"]
        assert {row.n_rival_references for row in result.artists} == {1 + 4}
        assert {row.n_name_references for row in result.artists} == {3}
        assert {row.placebo_reference for row in result.artists} == {"all"}
        assert result.summary.n_labels == 3 + 3  # works of three artists, generic labels
        assert result.n_without_prompt == 0
    digest = hashlib.sha256((root / "s").read_bytes()).hexdigest()
    (entry,) = read_register(root / "audit")
    assert entry.placebo_drawing == 2 == report.plan.placebo_drawing
    assert entry.inputs["placebo seed"] == digest == report.plan.inputs["placebo seed"]
    page = (root / "audit/report.html").read_text(encoding="utf-8")
    assert "4 further real names" in page and "Origins of names" in page
    (root / "s").write_bytes(b"another seed of enough bytes")
    with pytest.raises(ImindexError, match="the secret seed of the placebo names changed after"):
        run_plan(root)
    (root / "s").write_bytes(b"0123456789abcdef0123")
    assert run_plan(root).report.digest == report.digest
    verified = run(
        "verify", "--results", root / "audit", "--plan", root / "plan.toml", "--device", "cpu", code=0
    )
    assert "no faults" in verified.stdout
