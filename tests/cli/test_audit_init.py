"""`imindex audit init` finds README's layout, and writes a plan that runs; it guesses nothing."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.audit.inputs import gather
from imindex.retrieval.audit.layout import find_layout
from imindex.retrieval.audit.plan import Plan, read_plan
from tests.support.commands import last_line, run
from tests.support.pictures import picture

README = {
    "works/Ada Example": 5, "works/Bo Sample": 5, "works/Cy Other": 3, "background/Di Further": 3, "control": 2,
    "imitations/sd-2.0/Ada Example": 2, "imitations/sd-2.0/Bo Sample": 2, "imitations/sd-2.0/placebo 001": 2,
    "imitations/sd-2.0/placebo [2]": 2, "imitations/sd-2.1/Ada Example": 2, "imitations/sd-2.1/Bo Sample": 2,
    "imitations/sd-2.1/placebo 001": 2,
}  # fmt: skip
DEMO = ("--model", "demo")


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    def made(layout: dict[str, int], root: str = "art") -> Path:
        for seed, (folder, n) in enumerate(layout.items()):
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(n):
                picture(100 * seed + number, (24, 24)).save(tmp_path / root / folder / f"{number}.png")
        return tmp_path / root

    return made


def init(folder: Path, *words: object) -> tuple[Plan, str, list[str]]:
    """Write the plan of a folder; return it, its text, and what the command says is left open."""
    result = run("audit", "init", folder, *DEMO, *words)
    assert last_line(result).startswith(f"Wrote {folder / 'plan.toml'}")
    said = [line.removeprefix("Left open: ") for line in result.stdout.splitlines()[:-1]]
    text = (folder / "plan.toml").read_text(encoding="utf-8")
    comments = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    for sentence in said:
        assert " ".join(sentence.split()) in " ".join(comments.replace("- ", "").split()) or "?" in comments
    return read_plan(folder / "plan.toml"), text, said


def dry_run(folder: Path) -> str:
    before = sorted(folder.rglob("*"))
    stdout = run("audit", folder / "plan.toml", "--dry-run", "--device", "cpu").output
    assert sorted(folder.rglob("*")) == before
    return stdout


def rows_of(folder: Path, kinds: Sequence[str]) -> list[dict[str, str]]:
    rows = []
    for path in sorted(folder.rglob("*.png")):
        kind, *middle, _ = path.relative_to(folder).parts
        name = middle[-1] if middle else ""
        arm = {"imitations": "placebo" if name.startswith("placebo") else "own", "control": "control"}.get(
            kind, ""
        )
        release = middle[0] if kind == "imitations" else kind
        if kind in kinds:
            row = {"path": str(path.relative_to(folder)), "artist": name, "kind": kind, "collection": release}
            rows.append({**row, "arm": arm})
    return rows


def write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_layout_of_the_readme_gives_a_plan_that_runs(tree: Callable[..., Path]) -> None:
    folder = tree(README)
    plan, text, said = init(folder)
    assert (plan.works, plan.background, plan.control) == ("works", "background", "control")
    assert plan.tested == ("Ada Example", "Bo Sample")
    assert [(one.name, one.pictures, one.placebos) for one in plan.releases] == [
        ("sd-2.0", "imitations/sd-2.0", ()), ("sd-2.1", "imitations/sd-2.1", ()),
    ]  # fmt: skip
    assert plan.base == "" and [encoder.model for encoder in plan.encoders] == ["demo"]
    assert "2 artists with 10 works, and 2 background artists" in " ".join(dry_run(folder).split())
    assert len(said) == 4
    assert said[0].startswith(
        "sd-2.0: placebo 001, placebo [2] have pictures and no works, and no manifest says what"
    )
    assert said[1].startswith("sd-2.1: placebo 001 has pictures and no works")
    assert said[2].startswith("Cy Other has works, but cannot be tested")
    assert said[3] == "None of the 2 releases is the base that the others are compared with."
    # What it left open is one edit away.
    stated = re.sub(r"^# (?=placebos = \[\"placebo 001)", "", text, flags=re.M)
    (folder / "plan.toml").write_text(stated, encoding="utf-8")
    inputs = gather(read_plan(folder / "plan.toml"))
    assert inputs.placebos == {"sd-2.0": ("placebo 001", "placebo [2]"), "sd-2.1": ("placebo 001",)}
    assert inputs.background == ("Cy Other", "Di Further")


def test_it_runs_in_the_current_folder_and_does_not_overwrite(
    tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tree({"works/Ada": 1, "works/Bo": 1, "imitations/r/Ada": 1, "imitations/r/Bo": 1})
    monkeypatch.chdir(folder)
    result = run("audit", "init", *DEMO)
    assert last_line(result) == (
        "Wrote plan.toml with 2 artists and 1 release. Edit it, then run: imindex audit plan.toml --dry-run"
    )
    assert "Left open: r: there are no placebo names, so no test of whether a name matters." in result.stdout
    assert "exists already" in run("audit", "init", ".", code=1).stderr
    run("audit", "init", "other.toml", *DEMO)
    assert Path("other.toml").read_text().replace("other.toml", "plan.toml") == Path("plan.toml").read_text()
    dry_run(folder)


def test_manifests_inside_say_the_rest(tree: Callable[..., Path]) -> None:
    folder = tree(README)
    for release in ("sd-2.0", "sd-2.1"):
        rows = [row for row in rows_of(folder, ["imitations"]) if row["collection"] == release]
        for row in rows:
            row["path"] = str(Path(row["path"]).relative_to(f"imitations/{release}"))
        write(folder / f"imitations/{release}/manifest.csv", rows)
    rows = rows_of(folder, ["works"])
    write(
        folder / "works/manifest.csv", [{**row, "path": row["path"].removeprefix("works/")} for row in rows]
    )
    plan, text, said = init(folder)
    assert [(one.name, one.pictures) for one in plan.releases] == [
        ("sd-2.0", "imitations/sd-2.0"), ("sd-2.1", "imitations/sd-2.1"),
    ]  # fmt: skip
    assert plan.tested == ("Ada Example", "Bo Sample") and len(said) == 2
    assert "# 2 of them are placebo names, as its manifest says." in text
    assert "2 background artists" in " ".join(dry_run(folder).split())
    assert gather(plan).placebos == {"sd-2.0": ("placebo 001", "placebo [2]"), "sd-2.1": ("placebo 001",)}


def test_one_manifest_of_everything_in_the_folder(tree: Callable[..., Path]) -> None:
    folder = tree(README)
    write(folder / "manifest.csv", rows_of(folder, ["works", "background", "control", "imitations"]))
    plan, _, _ = init(folder)
    assert (plan.works, plan.background, plan.control) == ("manifest.csv",) * 3
    assert [(one.name, one.pictures) for one in plan.releases] == [
        ("sd-2.0", "manifest.csv"), ("sd-2.1", "manifest.csv"),
    ]  # fmt: skip
    dry_run(folder)
    inputs = gather(plan)
    assert {name: len(items) for name, items in inputs.made.items()} == {"sd-2.0": 8 + 2, "sd-2.1": 6 + 2}
    assert len(inputs.works) == 5 + 5 + 3 + 3 + 2


def test_a_manifest_of_all_releases(tree: Callable[..., Path]) -> None:
    folder = tree(README)
    rows = rows_of(folder, ["imitations"])
    write(
        folder / "imitations/manifest.csv",
        [{**row, "path": row["path"].removeprefix("imitations/")} for row in rows],
    )
    plan, _, _ = init(folder)
    assert [(one.name, one.pictures) for one in plan.releases] == [
        ("sd-2.0", "imitations/manifest.csv"), ("sd-2.1", "imitations/manifest.csv"),
    ]  # fmt: skip
    dry_run(folder)
    build = run("build", folder, "-i", folder / "i.h5", *DEMO, "--device", "cpu")
    assert "Encoded 32 pictures" in build.stdout


def test_works_alone_leave_the_release_open(tree: Callable[..., Path]) -> None:
    folder = tree({"works/Ada": 2, "works/Bo": 1})
    plan, text, said = init(folder)
    assert plan.tested == ("Ada", "Bo") and [one.model for one in plan.releases] == [
        "stabilityai/stable-diffusion-2-1"
    ]
    assert said == [
        "There are no pictures of a release: name a model, or put pictures into imitations/RELEASE/NAME."
    ]
    text = text.replace("stabilityai/stable-diffusion-2-1", "models/none")
    (folder / "plan.toml").write_text(text)
    assert "models/none" in run("audit", folder / "plan.toml", "--dry-run", code=1).stderr


def test_an_empty_folder_gives_the_example(tmp_path: Path) -> None:
    result = run("audit", "init", tmp_path / "plan.toml")
    text = (tmp_path / "plan.toml").read_text()
    plan = read_plan(tmp_path / "plan.toml")
    assert plan.tested == ("Ada Example", "Bo Sample") and plan.encoders[0].model == "ViT-L-14"
    assert (plan.works, plan.background, plan.control, plan.encoders[0].pretrained) == (
        "works",
        "",
        "",
        "openai",
    )
    assert "Left open: There are no works: put them into works/ARTIST" in result.stdout
    assert "# background = " in text and "# control = " in text and "Left open" not in text


HOSTILE = [
    "O\"Hara \\ Ba'ck",
    "Ämne 🎨",
    "line\nbreak",
    "tab\there",
    "# no comment",
    "{artist}",
    "del\x7fete",
    "[x]*",
]


@pytest.mark.skipif(os.name != "posix", reason="names that Windows does not have")
def test_hostile_names_stay_names(tree: Callable[..., Path]) -> None:
    folder = tree({f"{kind}/{name}": 1 for name in HOSTILE for kind in ("works", 'imitations/r "1"')})
    tree(
        {
            'imitations/r "1"/made\nup': 1,
            os.fsdecode(b"works/caf\xe9"): 1,
            os.fsdecode(b"imitations/\xff/x"): 1,
        }
    )
    plan, text, said = init(folder)
    spelled = {" ".join(name.split()) for name in HOSTILE if "\x7f" not in name}
    assert set(plan.tested) == spelled and [one.name for one in plan.releases] == ['r "1"']
    assert not [line for line in text.splitlines() if line and line[0] not in '#[]" ' and "=" not in line]
    assert any("cannot be tested" in line for line in said) and any(
        "not in the plan" in line for line in said
    )
    dry_run(folder)


def test_releases_without_artists_in_common_are_left_out(tree: Callable[..., Path]) -> None:
    folder = tree({
        "works/Ada": 1, "works/Bo": 1, "works/Cy": 1,
        "imitations/a/Ada": 1, "imitations/a/Bo": 1, "imitations/b/Cy": 1, "imitations/c/Bo": 1, "imitations/d/Zo": 1,
    })  # fmt: skip
    plan, _, said = init(folder)
    assert plan.tested == ("Bo",) and [one.name for one in plan.releases] == ["a", "c"]
    assert "b has no imitations of the tested artists, so it is not in the plan." in said
    assert "d has no imitations of the tested artists, so it is not in the plan." in said
    dry_run(folder)


def test_artists_that_a_plan_cannot_test_are_background(tree: Callable[..., Path]) -> None:
    names = ("Ada", "Bo", "Cy")
    folder = tree(
        {**{f"works/{n}": 1 for n in names}, **{f"imitations/r/{n}": 1 for n in names}, "background/Cy": 1}
    )
    plan, _, said = init(folder)
    assert plan.tested == ("Ada", "Bo") and any(line.startswith("Cy has works, but") for line in said)
    dry_run(folder)


def test_a_manifest_decides_what_a_name_is(tree: Callable[..., Path]) -> None:
    """A rival with works is not tested, and blocked pictures are no imitations."""
    folder = tree({
        "works/Ada": 1, "works/Bo": 1, "works/Cy": 1,
        "imitations/r/Ada": 1, "imitations/r/Bo": 1, "imitations/r/Cy": 1, "imitations/r/Zo": 1,
    })  # fmt: skip
    arms = {"Ada": "artist", "Bo": "rival", "Cy": "artist", "Zo": "placebo"}
    rows = [
        {
            "path": f"{name}/0.png",
            "artist": name,
            "arm": arm,
            "blocked": "safety filter" if name == "Cy" else None,
        }
        for name, arm in arms.items()
    ]
    (folder / "imitations/r/manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan, _, said = init(folder)
    assert plan.tested == ("Ada",) and len(said) == 1 and said[0].startswith("Bo, Cy have works, but")
    assert gather(plan).placebos == {"r": ("Zo",)}
    dry_run(folder)


def test_two_folders_of_one_release_are_refused(tree: Callable[..., Path]) -> None:
    folder = tree({"works/Ada": 1, "imitations/r/Ada": 1, "imitations/R/Ada": 1})
    if len(list((folder / "imitations").iterdir())) == 2:  # not where file names ignore case
        with pytest.raises(ImindexError, match=r"are both of the release .*Rename one"):
            find_layout(folder)
