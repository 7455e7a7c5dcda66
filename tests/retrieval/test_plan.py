"""The plan of an audit: what it accepts, which errors it raises, and what its digest covers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.plan_template import template

SMALLEST = """
[artists]
tested = ["Ada Example", "Bo Sample"]
[[releases]]
name = "r1"
model = "models/one"
[[encoders]]
model = "demo"
"""


def plan_of(tmp_path: Path, text: str) -> object:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return read_plan(path)


def test_the_smallest_plan_has_the_documented_defaults(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SMALLEST)
    assert plan.tested == ("Ada Example", "Bo Sample") and plan.works == "works"
    assert (plan.tests.level, plan.tests.adjust, plan.prompts.per_artist) == (0.05, "holm", 20)
    assert plan.label_templates == ("Artwork from {artist}",)
    assert plan.at("works") == tmp_path / "works"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name = ", "nmae = "), r"releases\[1\]\.n\w+ is"),
        (('model = "demo"', 'model = "demo"\nprecison = "fp32"'), r"encoders\[1\]\.precison .*precision"),
        (('["Ada Example", "Bo Sample"]', "[]"), r"artists\.tested"),
        (('["Ada Example", "Bo Sample"]', '["Ada", "ada"]'), r"artists\.tested: 'ada' is listed twice"),
        (('["Ada Example", "Bo Sample"]', "3"), r"artists\.tested is 3"),
        (('model = "models/one"', ""), r"releases\[1\]: set either model .* or pictures"),
        (('model = "models/one"', 'pictures = "p"\nsteps = 3'), r"releases\[1\]\.steps is a setting of a model"),
        (('model = "models/one"', 'model = "m"\nsteps = true'), r"releases\[1\]\.steps is True"),
        (('model = "models/one"', 'model = "m"\nplacebos = ["x"]'), r"releases\[1\]\.placebos"),
        (("[[encoders]]", '[prompts]\ntemplates = ["by nobody"]\n[[encoders]]'), r"prompts\.templates: .*\{artist\}"),
        (("[[encoders]]", "[prompts]\nplacebos = -1\n[[encoders]]"), r"prompts\.placebos is -1"),
        (("[[encoders]]", '[prompts]\nplacebos = "many"\n[[encoders]]'), r"prompts\.placebos is 'many'"),
        (('model = "models/one"', 'model = "m"\nguidance = inf'), r"releases\[1\]\.guidance is inf"),
        (("[[encoders]]", "[tests]\nlevel = 5\n[[encoders]]"), r"tests\.level is 5"),
        (("[[encoders]]", '[tests]\nadjust = "none"\n[[encoders]]'), r"tests\.adjust is 'none'.*holm"),
        (("[[encoders]]", '[compare]\nbase = "r0"\n[[encoders]]'), r"compare\.base is 'r0'.*r1"),
        (("[[encoders]]", '[gate]\nfail_if = ["accuracy > base"]\n[[encoders]]'), r"gate\.fail_if.*compare\.base"),
        (("[[encoders]]", '[gate]\nfail_if = ["beauty > 1"]\n[[encoders]]'), r"gate\.fail_if: .*beauty"),
        (("[[encoders]]", "[works]\ntested = 1\n[[encoders]]"), r"works\.tested is 1"),
        (("[[encoders]]", "prompts = 1\n[[encoders]]"), r"releases\[1\]\.prompts is not a key"),
        (("[artists]", "artists ="), "is not TOML"),
        (("[artists]", 'titel = "x"\n[artists]'), "titel is not a key of a plan. Did you mean title"),
        (("[[encoders]]", "[encoders]"), "encoders is not a list of tables"),
    ],
)  # fmt: skip
def test_a_wrong_plan_is_refused_by_the_name_of_its_key(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(ImindexError, match=message):
        plan_of(tmp_path, SMALLEST.replace(*change))


def test_the_digest_covers_every_value_and_no_layout(tmp_path: Path) -> None:
    first = plan_of(tmp_path, SMALLEST)
    assert plan_of(tmp_path, "# a comment\n" + SMALLEST.replace("=", "   =")).digest == first.digest
    assert (
        plan_of(tmp_path, SMALLEST + '[tests]\nadjust = "holm"\n').digest == first.digest
    )  # the default, said
    for change in (("Ada", "Eda"), ("r1", "r2"), ("demo", "ViT-B-32"), ("[artists]", "seed = 1\n[artists]")):
        assert plan_of(tmp_path, SMALLEST.replace(*change)).digest != first.digest
    for more in ("[tests]\nlevel = 0.01", '[tests]\nadjust = "bh"', "[prompts]\nper_artist = 4"):
        assert plan_of(tmp_path, SMALLEST + more).digest != first.digest


def test_the_artists_of_a_file_count_in_the_digest(tmp_path: Path) -> None:
    text = SMALLEST.replace('tested = ["Ada Example", "Bo Sample"]', 'file = "artists.csv"')
    (tmp_path / "artists.csv").write_text("artist\nAda Example\nBo Sample\n")
    plan = plan_of(tmp_path, text)
    assert plan.tested == ("Ada Example", "Bo Sample")
    assert plan.digest == plan_of(tmp_path, SMALLEST).digest
    (tmp_path / "artists.csv").write_text("artist\nAda Example\n")
    assert plan_of(tmp_path, text).digest != plan.digest


def test_init_writes_a_plan_that_is_accepted_and_holds_every_key(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, template("plan.toml", ['O"Hara', "Ämne 🎨"]))
    assert plan.tested == ('O"Hara', "Ämne 🎨")
    assert plan.tests == plan_of(tmp_path, SMALLEST).tests  # what it writes out are the defaults
    uncommented = re.sub(r"^# (?=[a-z_]+ = |\[)", "", template("plan.toml", []), flags=re.M)
    uncommented = re.sub(r"^equal_seeds = true .*\n", "", uncommented, flags=re.M)  # an API has no seeds
    assert "background" in plan_of(tmp_path, uncommented.replace('"sd-2.0"', '"sd-2.1"')).background


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_arbitrary_text_is_only_ever_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ImindexError):
        read_plan(path)
