"""The works and releases of an audit may be manifests, with the same inputs as folders."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.audit.inputs import Inputs, gather
from imindex.retrieval.audit.plan import read_plan
from tests.support.commands import run
from tests.support.pictures import picture
from tests.support.shards import write_tar

TREE = {
    "works/Ada Example": 5, "works/Bo Sample": 5, "works/Cy Other": 4, "background/Di Further": 4, "control": 2,
    "imitations/r1/Ada Example": 2, "imitations/r1/Bo Sample": 2, "imitations/r1/Zo Invented": 2,
    "imitations/r1/Yo Invented": 2, "imitations/r2/Ada Example": 2, "imitations/r2/Bo Sample": 2,
    "imitations/r2/Zo Invented": 2, "imitations/r2/Yo Invented": 2,
}  # fmt: skip
PLAN = """
[artists]
tested = ["Ada Example", "Bo Sample"]
[works]
tested = "{works}"
background = "{background}"
control = "{control}"
[[releases]]
name = "r1"
pictures = "{r1}"
{placebos}
[[releases]]
name = "r2"
pictures = "{r2}"
{placebos}
[[encoders]]
model = "demo"
[tests]
n_resamples = 99
adjust = "bh"
[compare]
base = "r1"
"""
FOLDERS = {
    "works": "works", "background": "background", "control": "control", "r1": "imitations/r1", "r2": "imitations/r2",
    "placebos": 'placebos = ["* Invented"]',
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    seed = 0
    for folder, n in TREE.items():
        (tmp_path / folder).mkdir(parents=True)
        for number in range(n):
            picture(seed, (24, 24)).save(tmp_path / folder / f"{number}.png")
            seed += 1
    return tmp_path


def rows_of(root: Path, folders: Sequence[str] = tuple(TREE)) -> list[dict[str, str]]:
    rows = []
    for folder in folders:
        kind, _, rest = folder.partition("/")
        release, _, name = rest.rpartition("/")
        arm = "" if kind != "imitations" else "placebo" if "Invented" in name else "own"
        for path in sorted((root / folder).iterdir()):
            place = {"path": str(path.relative_to(root)), "artist": name, "kind": kind, "arm": arm}
            rows.append({**place, "collection": release or kind})
    return rows


def write(root: Path, name: str, rows: Sequence[dict[str, str]], separator: str = ",") -> str:
    with (root / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return name


def gathered(root: Path, **keys: str) -> Inputs:
    (root / "plan.toml").write_text(PLAN.format(**{**FOLDERS, **keys}))
    return gather(read_plan(root / "plan.toml"))


def content(inputs: Inputs) -> dict[str, Any]:
    """What an audit depends on: kinds, names, bytes and references."""

    def listed(items: Sequence[Any]) -> list[tuple[str, ...]]:
        return sorted((Path(one.path).name, one.artist, one.kind, one.collection) for one in items)

    return {
        "works": listed(inputs.works),
        "made": {name: listed(items) for name, items in inputs.made.items()},
        "placebos": inputs.placebos,
        "digests": inputs.digests,
        "background": inputs.background,
    }


def test_separate_manifests_give_the_inputs_of_the_folders(root: Path) -> None:
    expected = content(gathered(root))
    works = write(root, "works.csv", rows_of(root, [f for f in TREE if f.startswith("works")]), ";")
    others = write(root, "others.csv", rows_of(root, ["background/Di Further"]))
    control = write(root, "control.csv", rows_of(root, ["control"]))
    releases = {
        r: write(root, f"{r}.csv", rows_of(root, [f for f in TREE if f"/{r}/" in f])) for r in ("r1", "r2")
    }
    keys = {"works": works, "background": others, "control": control, **releases}
    assert content(gathered(root, **keys)) == expected
    by_arms = content(gathered(root, **keys, placebos=""))  # known from the arms
    assert by_arms.pop("digests")["works"] == expected.pop("digests")["works"] and by_arms == expected


def sharded(root: Path) -> dict[str, str]:
    """Write the sources of an audit as shards, two of the works; return the plan's keys for them."""
    for name, folders in {
        "works-0": ["works/Ada Example"], "works-1": ["works/Bo Sample", "works/Cy Other"],
        "background": ["background/Di Further"], "control": ["control"],
        **{release: [folder for folder in TREE if f"/{release}/" in folder] for release in ("r1", "r2")},
    }.items():  # fmt: skip
        files = [path for folder in folders for path in sorted((root / folder).iterdir())]
        members = [(path.relative_to(root).as_posix(), path.read_bytes()) for path in files]
        write_tar(root / "shards" / f"{name}.tar", members)
    return {
        "works": "shards/works-{0..1}.tar", "background": "shards/background.tar", "control": "shards/control.tar",
        "r1": "shards/r1.tar", "r2": "shards/r2.tar",
    }  # fmt: skip


def test_shards_give_the_inputs_of_the_folders(root: Path) -> None:
    expected = content(gathered(root))
    keys = sharded(root)
    assert content(gathered(root, **keys)) == expected


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_one_manifest_of_everything_gives_the_inputs_of_the_folders(root: Path, separator: str) -> None:
    expected = content(gathered(root))
    one = write(root, "all.csv", rows_of(root), separator)
    keys = dict.fromkeys(("works", "background", "control", "r1", "r2"), one)
    found = content(gathered(root, **keys, placebos=""))
    # The controls of no release are controls of the audit, and of each release that has none of its own.
    controls = [row for row in expected["works"] if row[2] == "control"]
    assert controls and found["works"] == expected["works"] and found["placebos"] == expected["placebos"]
    for release, rows in expected["made"].items():
        assert [row for row in found["made"][release] if row[2] == "imitations"] == rows


def test_controls_of_a_release_are_its_own(root: Path) -> None:
    rows = rows_of(root)
    for row, release in zip([row for row in rows if row["kind"] == "control"], ("r1", "r2"), strict=True):
        row.update(collection=release, arm="nameless")
    one = write(root, "all.csv", rows)
    made = gathered(root, works=one, r1=one, r2=one, placebos="").made
    for number, release in enumerate(("r1", "r2")):
        names = [Path(item.path).name for item in made[release] if item.kind == "control"]
        assert names == [f"{number}.png"]


def test_a_works_manifest_without_kinds_is_of_works(root: Path) -> None:
    expected = content(gathered(root))
    rows = [{"path": row["path"], "artist": row["artist"]} for row in rows_of(root) if row["kind"] == "works"]
    lines = "\n".join(map(json.dumps, rows))
    (root / "works.jsonl").write_text(lines)
    assert content(gathered(root, works="works.jsonl")) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"Ada Example": "Ada Exmaple"},
            r"artists\.tested: Ada Example has no works in .*works\.csv\. Did you mean Ada",
        ),
        ({"Ada Example": "Nobody"}, r"Ada Example has no works .*List works of this artist in .*works\.csv"),
    ],
)
def test_missing_works_of_a_manifest_are_named(root: Path, change: dict[str, str], message: str) -> None:
    rows = [
        {**row, "artist": change.get(row["artist"], row["artist"])} for row in rows_of(root, list(TREE)[:3])
    ]
    with pytest.raises(ImindexError, match=message):
        gathered(root, works=write(root, "works.csv", rows))


def test_manifests_that_do_not_fit_are_refused(root: Path) -> None:
    one = write(root, "all.csv", rows_of(root))
    text = PLAN.format(**{**FOLDERS, "r1": one, "r2": one}).replace('name = "r1"', 'name = "r3"')
    (root / "plan.toml").write_text(text.replace('base = "r1"', 'base = "r3"'))
    with pytest.raises(
        ImindexError, match=r"all\.csv lists the releases r1, r2, but none is called r3\. Correct"
    ):
        gather(read_plan(root / "plan.toml"))
    rows = rows_of(root)
    rows[0]["kind"] = "background"
    with pytest.raises(ImindexError, match=r"lists pictures of the tested artist Ada Example as background"):
        gathered(root, works=write(root, "works.csv", rows))


def figures(report: dict[str, Any]) -> list[Any]:
    return [
        (
            one["release"],
            row["artist"],
            row["auc"],
            row["p_name"],
            row["finding"],
            row["n_works"],
            row["n_imitations"],
        )
        for one in report["results"]
        for row in one["artists"]
    ]


@pytest.mark.usefixtures("one_thread")
def test_an_audit_of_manifests_or_shards_has_the_results_of_an_audit_of_folders(root: Path) -> None:
    """One picture is blocked: in the folder and in the shard it is all black, in the manifest it is marked."""
    lost = "imitations/r1/Ada Example/9.png"
    reports = []
    for name in ("folders", "manifests", "shards"):
        Image.new("RGB", (24, 24), (1, 2, 3) if name == "manifests" else (0, 0, 0)).save(root / lost)
        keys = sharded(root) if name == "shards" else {}
        if name == "manifests":
            rows = [
                {**row, "blocked": "safety filter" if row["path"] == lost else ""} for row in rows_of(root)
            ]
            rows = [row for row in rows if row["kind"] != "control"]
            keys = dict.fromkeys(("works", "background", "r1", "r2"), write(root, "all.csv", rows))
            keys["placebos"] = ""
        (root / f"{name}.toml").write_text(PLAN.format(**{**FOLDERS, **keys}))
        run("audit", root / f"{name}.toml", "--device", "cpu", "--no-pictures")
        reports.append(json.loads((root / f"{name}-audit/report.json").read_text(encoding="utf-8")))
        said = run("verify", "--results", root / f"{name}-audit", "--device", "cpu").output
        assert "no faults" in said.lower()
    assert figures(reports[0]) == figures(reports[1]) == figures(reports[2]) and len(figures(reports[0])) == 4
    for report, reason in zip(reports, ("all black", "safety filter", "all black"), strict=True):
        first, second = report["releases"]
        assert [one["reason"] for one in first["blocked"]] == [reason] and second["blocked"] == []
        assert (first["n_imitations"], second["n_imitations"], report["rejects"]) == (8, 8, [])
        assert first["blocked"][0]["path"].endswith("Ada Example/9.png")


def test_the_registration_covers_the_arms(root: Path) -> None:
    """Otherwise an edited manifest would choose other placebo names after the results were seen."""
    rows = rows_of(root)
    for row in rows:
        row["arm"] = (
            "placebo" if row["artist"].endswith("Invented") else ""
        )  # and none for works and controls
    digests = []
    for change in ("", "Zo Invented"):
        for row in rows:
            if change and row["artist"] == change:
                row["arm"] = "rival"
        name = write(root, "all.csv", rows)
        keys = dict.fromkeys(("works", "background", "control", "r1", "r2"), name)
        digests.append(gathered(root, **keys, placebos="").digests)
    assert digests[0]["works"] == digests[1]["works"]
    assert digests[0]["r1"] != digests[1]["r1"] and digests[0]["r2"] != digests[1]["r2"]
    for column in ("prompt", "seed"):
        before = gathered(root, **keys, placebos="").digests
        write(root, "all.csv", [{**row, column: "7" if row["kind"] == "imitations" else ""} for row in rows])
        assert gathered(root, **keys, placebos="").digests["r1"] != before["r1"]
