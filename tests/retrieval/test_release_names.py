"""Placebo names, rivals and controls are known from the manifest's arms, with the same results as with options."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.inputs import gather
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.evidence.power_plan import from_index
from imindex.retrieval.evidence.release_names import arms_of, control_collections
from imindex.retrieval.vectors.select import pictures
from tests.support.commands import run
from tests.support.pictures import paint
from tests.support.two_releases import COLORS, N_PLACEBOS, RELEASES, build_index, draw

PLACEBOS = tuple(f"placebo {n}" for n in range(N_PLACEBOS))
RIVALS = ("di",)
FEW = {"n_resamples": 99, "adjust": "bh"}

pytestmark = pytest.mark.usefixtures("one_thread")


def arm_of(name: str) -> str:
    return "placebo" if name in PLACEBOS else "rival" if name in RIVALS else "own"


def with_arms(root: Path, name: str, arm: Callable[[str], str] = arm_of) -> Path:
    """Write the manifest of both releases again, with arms and two kinds of control pictures."""
    lines = [json.loads(line) for line in (root / "both.jsonl").read_text().splitlines()]
    lines = [{**line, "arm": arm(line["artist"]), "model": line["collection"]} for line in lines]
    for release in RELEASES:
        for n, kind in enumerate(("nameless", "nameless", "control")):
            path = f"{release}/{kind}/{n}.png"
            paint(root / path, (90, 90, 90), 900_000 + n)
            lines.append({"path": path, "collection": release, "arm": kind, "prompt": "Artwork", "seed": n})
    (root / name).write_text("\n".join(map(json.dumps, lines)))
    return root / name


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """The pictures of two releases, and two indexes of them: `arms.h5`, and `plain.h5` without arms."""
    root = tmp_path_factory.mktemp("arms")
    draw(root)
    for path in (root / "works/di").iterdir():
        path.unlink()
    (root / "works/di").rmdir()
    with_arms(root, "arms.jsonl")
    lines = [json.loads(line) for line in (root / "arms.jsonl").read_text().splitlines()]
    for line in lines:
        arm = line.pop("arm")
        line["kind"] = "control" if arm in ("nameless", "control") else "imitations"
        line.pop("model", None)
    (root / "plain.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for name in ("arms", "plain"):
        build_index(root, f"{name}.h5", root / "works", root / f"{name}.jsonl", model=tiny_model)
    return root


def values(result: Any) -> dict[str, Any]:
    """A result without what names its index and its names."""
    return {key: value for key, value in result.to_dict().items() if key not in ("root-digest", "names")}


def test_match_takes_placebo_names_and_rivals_from_the_manifest(root: Path) -> None:
    how = imindex.Testing(placebos=PLACEBOS, rivals=RIVALS, **FEW)
    with imindex.open(root / "arms.h5") as armed, imindex.open(root / "plain.h5") as plain:
        for release in RELEASES:
            result = armed.match(release, testing=imindex.Testing(**FEW))
            assert values(result) == values(plain.match(release, testing=how))
            assert result.evidence.placebos == PLACEBOS and result.evidence.rivals == RIVALS
            names = result.names
            assert (names.n_placebos, names.placebo_source) == (N_PLACEBOS, "manifest")
            assert (names.n_rivals, names.rival_source) == (1, "manifest")
            assert (names.n_nameless, names.n_control, names.blocked, names.notes) == (2, 1, {}, ())
        assert plain.match("r1", testing=imindex.Testing(**FEW)).names is None
        without = plain.match("r1", testing=imindex.Testing(**FEW)).evidence
        assert without.placebos == ()
        untested = armed.match("r1", testing=None)
        assert untested.evidence is None and untested.names == result.names


@pytest.mark.parametrize("by", ["name", "works"])
def test_classify_takes_them_from_the_manifest(root: Path, by: str) -> None:
    how = imindex.Testing(placebos=PLACEBOS, rivals=RIVALS, **FEW)
    with imindex.open(root / "arms.h5") as armed, imindex.open(root / "plain.h5") as plain:
        result = armed.classify("r2", by=by, testing=imindex.Testing(**FEW))
        expected = plain.classify("r2", by=by, testing=how)
        assert values(result) == values(expected)
        assert result.placebos == PLACEBOS and result.names.placebo_source == "manifest"
        assert not {*PLACEBOS, *RIVALS} & {artist.artist for artist in result.methods[0].artists}


def test_compare_takes_them_from_the_manifest(root: Path) -> None:
    options: dict[str, Any] = {"no_names": True, **FEW}
    result = imindex.compare("r1", "r2", index=root / "arms.h5", **options)
    expected = imindex.compare(
        "r1", "r2", index=root / "plain.h5", placebos=PLACEBOS, rivals=RIVALS, **options
    )
    first, second = result.to_dict(), expected.to_dict()
    for side in (first, second):
        for key in ("base", "new", "notes", "testing"):
            side.pop(key)
    assert first == second and set(result.placebos) == set(PLACEBOS)
    shown = f"{N_PLACEBOS} placebo names (placebo 0, placebo 1, placebo 2, ...)"
    said = [note for note in result.notes if "placebo names (" in note]
    assert said == [
        f"{release}: {shown}, from the manifest; 1 further real name, from the manifest; 2 nameless and 1 generic "
        "control pictures."
        for release in RELEASES
    ]
    assert any("as passed" in note for note in expected.notes)


def test_the_commands_say_which_names_were_taken_and_why(root: Path) -> None:
    words = ("-i", root / "arms.h5", "--collection", "r1", "--resamples", 99)
    shown = "placebo names (placebo 0, placebo 1, placebo 2, ...)"
    for command in (("match",), ("classify", "--by", "works")):
        text = " ".join(run(*command, *words).output.split())
        assert f"{N_PLACEBOS} {shown}, from the manifest; 1 further real name, from the manifest" in text
        text = " ".join(run(*command, *words, "--placebo", "placebo *").output.split())
        assert f"{N_PLACEBOS} {shown}, as passed; 1 further real name, from the manifest" in text
        assert "contradict" not in text and "but the manifest says" not in text
    said = json.loads(run("match", *words, "--json").stdout)["names"]
    assert said["placebo_source"] == "manifest" and said["n_placebos"] == N_PLACEBOS


def test_what_is_passed_wins_and_a_contradiction_is_told(root: Path) -> None:
    fewer = [*PLACEBOS[:-2], "di"]
    with imindex.open(root / "arms.h5") as armed, imindex.open(root / "plain.h5") as plain:
        result = armed.match("r2", testing=imindex.Testing(placebos=fewer, **FEW))
        expected = plain.match("r2", testing=imindex.Testing(placebos=fewer, **FEW))
        notes = (
            "placebos (--placebo) takes di for placebo names, but the manifest says rival.",
            f"placebos (--placebo) leaves out {PLACEBOS[-2]}, {PLACEBOS[-1]}, which the manifest calls placebo names.",
        )
        assert result.names.notes == notes and result.evidence.notes == (*expected.evidence.notes, *notes)
        assert result.evidence.placebos == expected.evidence.placebos
        assert (result.names.placebo_source, result.names.n_rivals, result.names.rival_source) == (
            "passed",
            0,
            "manifest",
        )
        assert values(replace_notes(result)) == values(replace_notes(expected))
        named = armed.classify("r2", by="works", testing=imindex.Testing(placebos=fewer, **FEW))
        assert named.names.notes == notes
    text = " ".join(
        run("match", "-i", root / "arms.h5", "--collection", "r2", "--placebo", "placebo 1*").output.split()
    )
    assert text.count("leaves out placebo 0, placebo 2, placebo 3 and") == 1
    notes = imindex.compare(
        "r1", "r2", index=root / "arms.h5", no_names=True, placebos=["placebo *"], rivals=["cy"], **FEW
    ).notes
    assert "r1: rivals (--rival) takes cy for further real names, but the manifest says own." in notes


def replace_notes(result: Any) -> Any:
    from msgspec.structs import replace as changed

    return changed(result, evidence=changed(result.evidence, notes=()))


def test_a_name_of_two_arms_in_one_release_is_an_error(root: Path, tmp_path: Path, tiny_model: str) -> None:
    """Builds refuse it in one manifest; two manifests can still disagree."""
    lines = [json.loads(line) for line in (root / "arms.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        line["path"] = str(root / line["path"])
        line["arm"] = "own" if line.get("artist") == "placebo 3" and number % 2 else line["arm"]
    with pytest.raises(ImindexError, match="two arms"):
        imindex.build(write(root, lines, "x.jsonl"), tmp_path / "i.h5", model=tiny_model)
    for half, name in ((0, "a.jsonl"), (1, "b.jsonl")):
        part = [line for line in lines if (line["arm"] == "own") == bool(half)]
        words = ("-i", tmp_path / "i.h5", "--model", tiny_model, "--device", "cpu", "--precision", "fp32")
        run("build", write(root, part, name), *words)
    run("build", root / "works", *words)
    for command in ("match", "classify"):
        error = run(command, "-i", tmp_path / "i.h5", "--collection", "r2", code=1).stderr
        assert "placebo 3 has pictures of two arms in r2, " in error and "Correct the column `arm`" in error
    error = run("compare", "r1", "r2", "-i", tmp_path / "i.h5", "--no-names", code=1).stderr
    assert "two arms" in error


def write(root: Path, lines: list[dict[str, Any]], name: str) -> Path:
    for line in lines:
        line["path"] = str(
            Path(line["path"]).relative_to(root) if Path(line["path"]).is_absolute() else line["path"]
        )
    (root / name).write_text("\n".join(map(json.dumps, lines)))
    return root / name


def test_a_placebo_name_with_works_is_an_error(root: Path, tmp_path: Path, tiny_model: str) -> None:
    path = with_arms(root, "wrong.jsonl", lambda name: "placebo" if name == "bo" else arm_of(name))
    build_index(tmp_path, "i.h5", root / "works", path, model=tiny_model)
    error = run("match", "-i", tmp_path / "i.h5", "--collection", "r1", code=1).stderr
    assert "bo has works, so it is not a placebo name" in error


def test_blocked_pictures_are_counted_by_name(root: Path, tmp_path: Path, tiny_model: str) -> None:
    lines = [json.loads(line) for line in (root / "arms.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["collection"] == "r1"]
    hidden = [line for line in lines if line["artist" if "artist" in line else "arm"] in ("cy", "nameless")][
        :3
    ]
    for line in hidden:
        line["blocked"] = "safety filter"
    extra = root / "r1/ada/black.png"
    Image.new("RGB", (32, 32)).save(extra)
    lines.append({**lines[0], "path": "r1/ada/black.png", "artist": "ada", "arm": "own", "seed": 99})
    try:
        build_index(tmp_path, "i.h5", root / "works", write(root, lines, "blocked.jsonl"), model=tiny_model)
    finally:
        extra.unlink()
    kept = [line for line in lines[:-1] if not line.get("blocked")]
    build_index(tmp_path, "kept.h5", root / "works", write(root, kept, "kept.jsonl"), model=tiny_model)
    with imindex.open(tmp_path / "i.h5") as index, imindex.open(tmp_path / "kept.h5") as without:
        result = index.match(testing=imindex.Testing(**FEW))
        assert result.names.blocked == {"ada": 1, "cy": 3}
        assert values(result) == values(without.match(testing=imindex.Testing(**FEW)))
        named = index.classify(by="works", testing=imindex.Testing(**FEW))
        assert values(named) == values(without.classify(by="works", testing=imindex.Testing(**FEW)))
        index.write_report(result, tmp_path / "page.html", pictures=False)
    for command in (("match",), ("match", "--no-tests"), ("classify", "--by", "works")):
        text = " ".join(run(*command, "-i", tmp_path / "i.h5").output.split())
        assert "4 pictures blocked by a safety filter are left out: 3 of cy, 1 of ada." in text
    assert "black.png" in (tmp_path / "page.html").read_text()


def test_arms_are_those_of_the_release(root: Path) -> None:
    with Index(root / "arms.h5") as index:
        for release in RELEASES:
            imitations = pictures(index, "imitations", collections=[release])
            arms = {index.artists[a]: arm for a, arm in arms_of(index, release, imitations).items()}
            assert arms == {
                index.artists[a]: arm_of(index.artists[a]) for a in set(imitations.artist.tolist())
            }
            assert control_collections(index, release) == [release]


PLAN = """
[artists]
tested = ["ada", "bo"]
[works]
tested = "works"
[[releases]]
name = "r2"
pictures = "arms.jsonl"
{more}
[[encoders]]
model = "demo"
"""


def test_an_audit_of_pictures_takes_placebo_names_from_their_manifest(root: Path) -> None:
    plan = root / "plan.toml"
    for more, placebos, note in (
        ("", PLACEBOS, f"r2: {N_PLACEBOS} placebo names, from the manifest."),
        ('placebos = ["placebo *"]', PLACEBOS, ""),
        (
            'placebos = ["placebo 1*"]',
            tuple(n for n in PLACEBOS if n.startswith("placebo 1")),
            "r2.placebos leaves out",
        ),
        (
            'placebos = ["placebo *", "di"]',
            ("di", *PLACEBOS),
            "r2.placebos takes di for a placebo name, but the manifest",
        ),
    ):
        plan.write_text(PLAN.format(more=more))
        inputs = gather(read_plan(plan))
        assert inputs.placebos["r2"] == tuple(sorted(placebos))
        assert inputs.rivals["r2"] == RIVALS
        said = [line for line in inputs.notes if "manifest" in line]
        assert [line.startswith(note) for line in said] == ([True] if note else []), said
    lines = [json.loads(line) for line in (root / "arms.jsonl").read_text().splitlines()]
    wrong = [{**line, "arm": "placebo"} if line.get("artist") == "cy" else line for line in lines]
    (root / "cy.jsonl").write_text("\n".join(map(json.dumps, wrong)))
    plan.write_text(PLAN.format(more="").replace("arms.jsonl", "cy.jsonl"))
    with pytest.raises(ImindexError, match=r"cy has works, so it is not a placebo name\. Correct its arm"):
        gather(read_plan(plan))
    assert replace(read_plan(plan), works="works").tested == ("ada", "bo") and set(COLORS) >= {"ada", "bo"}


def test_a_pilot_takes_placebo_names_from_the_manifest(root: Path) -> None:
    by_arm, passed = from_index(root / "arms.h5", "r2"), from_index(root / "plain.h5", "r2", ["placebo *"])
    assert by_arm == passed != from_index(root / "plain.h5", "r2")
