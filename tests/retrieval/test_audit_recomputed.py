"""Every figure of an audit's report is recomputed from `imindex export` with other libraries; see `recompute`.

This is done on a synthetic world in which every kind of set, design and finding occurs, and on works of 70 real
designers if they were fetched (`scripts/fetch-designers`). Then figures are altered, and each change must be detected.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run
from tests.support.models import save_model
from tests.support.pictures import paint
from tests.support.places import ROOT
from tests.support.recompute import check
from tests.support.recompute_changes import check_comparisons
from tests.support.recompute_gate import check_gate, check_table

DESIGNERS = Path(os.environ.get("IMINDEX_DESIGNERS", ROOT / "data" / "designers"))
COLORS = {
    "Ada": (200, 30, 30), "Bo": (30, 60, 200), "Cy": (40, 180, 60), "Di": (180, 160, 40), "=Ed": (120, 40, 160),
    "Eve": (180, 160, 40), "Fay": (20, 150, 160),
}  # fmt: skip
"""Di paints like everybody; =Ed has too few works; Eve and Fay are background."""
TESTED = list(COLORS)[:5]
GREY = (128, 128, 128)
PLACEBOS = [f"placebo {k}" for k in range(12)]
GATE = (
    "auc > base + 0.05", "accuracy.low > 0.5", "copies > 0", "candidates > 0", "risen > 0", "significant >= 1",
    "significant > base",
    "auc.low > base.high", "auc.change.low > 0", "accuracy.change > 5 %", "accuracy < base - 5 %", "auc.high <= 0.9",
    "named > 1", "imitated > 0", "fallen > 0", "auc.change.p < 0.01", "copies > base", "candidates > base",
    "auc.beyond > 0.01", "auc.beyond.low > 0", "auc.beyond.p <= 0.05", "accuracy.change.p < 1", "imitated > base",
)  # fmt: skip


@dataclass(frozen=True)
class Audited:
    """A finished audit, and the inputs needed to recompute it."""

    folder: Path
    models: dict[str, Path | None]
    placebos: dict[str, list[str]]
    report: dict[str, Any]
    tested: list[str]
    fail_if: list[str]
    exports: dict[str, Path] = field(default_factory=dict)

    def problems(self, report: dict[str, Any], *parts: str) -> list[str]:
        """Return the differences in a report of this audit, or in parts of it."""
        given = (report, self.exports, self.models)
        checks: dict[str, Callable[[], list[str]]] = {
            "results": lambda: check(*given, self.tested, self.placebos),
            "comparisons": lambda: check_comparisons(*given, self.placebos),
            "gate": lambda: check_gate(report, self.fail_if, "one" if "one" in self.placebos else ""),
            "table": lambda: check_table(report, self.folder / "artists.csv"),
        }
        return [problem for part in parts or checks for problem in checks[part]()]


def audited(
    root: Path,
    models: Mapping[str, Path | str],
    releases: dict[str, list[str]],
    tested: list[str],
    *,
    tests: str,
    works: str = "works",
    templates: tuple[str, ...] = (),
    fail_if: tuple[str, ...] = (),
) -> Audited:
    """Audit releases from manifests with these placebo names, and export the indexes. Base is `one`, if it exists.

    `models` has folders of open_clip models, and names of models without a text side.
    """
    lines = [f"seed = 3\n[artists]\ntested = {json.dumps(tested)}\n[works]\ntested = {json.dumps(works)}"]
    for name, placebos in releases.items():
        lines.append(
            f'[[releases]]\nname = "{name}"\npictures = "{name}.jsonl"\nplacebos = {json.dumps(placebos)}'
        )
    for name, folder in models.items():
        model = "demo" if name == "demo" else folder if isinstance(folder, str) else f"local-dir:{folder}"
        lines.append(f'[[encoders]]\nname = "{name}"\nmodel = "{model}"\nprecision = "fp32"')
    lines.append(f"[tests]\nn_resamples = 999\n{tests}")
    lines.append(f"templates = {json.dumps(templates)}" if templates else "")
    lines.append('[compare]\nbase = "one"' if "one" in releases else "")
    lines.append(f"[gate]\nfail_if = {json.dumps(fail_if)}")
    (root / "plan.toml").write_text("\n".join(lines), encoding="utf-8")
    fails = bool(fail_if)
    done = run("audit", root / "plan.toml", "--device", "cpu", "--no-pictures", code=3 * fails)
    assert ("The release fails the gate" in done.output) == fails, done.output
    folder = root / "plan-audit"
    report = json.loads((folder / "report.json").read_text())
    open_clip = {name: place if isinstance(place, Path) else None for name, place in models.items()}
    found = Audited(folder, open_clip, releases, report, tested, list(fail_if))
    for encoder in report["encoders"]:
        found.exports[encoder["name"]] = folder / f"export-{encoder['name']}"
        run("export", found.exports[encoder["name"]], "-i", folder / encoder["index"])
    return found


def write(root: Path, release: str, rows: list[dict[str, Any]]) -> None:
    (root / f"{release}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def draw_works(root: Path, artists: dict[str, int]) -> None:
    for name, n in artists.items():
        for k in range(n):
            color = list(COLORS.values())[k] if name == "Di" else COLORS[name]
            paint(root / "works" / name / f"{k}.png", color, 100 * list(COLORS).index(name) + k)


def draw_release(
    root: Path,
    release: str,
    imitated: Mapping[str, str],
    prompt: Callable[[str, int], tuple[str, int] | None],
    names: list[str],
    first: int,
    size: int = 10,
    n_controls: int = 4,
) -> list[dict[str, Any]]:
    """A release that paints some names like an artist and all others grey; `prompt` may omit a picture."""
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        for k in range(size):
            said = prompt(name, k)
            if said is not None:
                path = f"{release}/{place}-{k}.png"
                paint(
                    root / path,
                    COLORS[imitated[name]] if name in imitated else GREY,
                    first + 1000 * place + k,
                )
                known = {"prompt": said[0], "seed": said[1]} if said[0] else {}
                rows.append({"path": path, "artist": name, "kind": "imitations", **known})
    for k in range(n_controls):
        paint(root / release / f"control{k}.png", GREY, first + 900_000 + k)
        rows.append({"path": f"{release}/control{k}.png", "kind": "control", "prompt": "Artwork", "seed": k})
    return rows


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Audited:
    """Two releases, two encoders. In the second, sets of some artists have other seeds, other prompts or none."""
    root = tmp_path_factory.mktemp("recomputed")
    draw_works(root, dict.fromkeys(COLORS, 6) | {"=Ed": 4})
    names = [*TESTED, "Eve", "Gus", *PLACEBOS]  # Gus has no works

    def first(name: str, k: int) -> tuple[str, int] | None:
        if name == "placebo 11" and k >= 8:  # a smaller set is no reference
            return None
        return ("", -1) if name == "Di" else (f"prompt {k // 2} by {name}", k)

    def second(name: str, k: int) -> tuple[str, int] | None:
        if name in ("Di", "=Ed"):
            return "", -1
        return f"prompt {k // 2} by {name}{' again' if name == 'Cy' else ''}", k + 100 * (name == "Bo")

    one = draw_release(root, "one", {"Ada": "Ada"}, first, names, 10_000)
    knows = {"Ada": "Ada", "Bo": "Bo", "Eve": "Bo", "Gus": "Bo"}  # Bo's name is not specific
    two = draw_release(root, "two", knows, second, names, 3_000_000)
    copied = next(row for row in two if row["artist"] == "placebo 0")  # a copy that nobody tested stands for
    (root / copied["path"]).write_bytes((root / "works/Cy/0.png").read_bytes())
    write(root, "one", one)
    write(root, "two", two)
    models = {
        "tiny": Path(tiny_model.removeprefix("local-dir:")),
        "other": save_model(root / "other", seed=1),
    }
    return audited(
        root, models, {"one": PLACEBOS, "two": PLACEBOS}, TESTED, tests='level = 0.4\nadjust = "bh"',
        templates=("Artwork from {artist}", "A picture by {artist}"), fail_if=GATE,
    )  # fmt: skip


def test_every_figure_equals_an_independent_computation(world: Audited) -> None:
    assert world.report["plan"]["label_templates"] == ["Artwork from {artist}", "A picture by {artist}"]
    problems = world.problems(world.report)
    assert problems == [], "\n".join(problems)
    rows = [row for result in world.report["results"] for row in result["artists"]]
    assert {row["finding"] for row in rows} == {
        "imitated", "name effect; specificity not shown", "not shown", "this encoder cannot tell", "not tested"
    }  # fmt: skip
    assert {row["n_name_references"] for row in rows} == {0, 11, 12}
    designs = {row["design"] for one in world.report["comparisons"] for row in one["artists"]}
    assert designs == {"pairs", "pictures within prompts", "prompts", "pictures"}
    assert any(pair["same_bytes"] for result in world.report["results"] for pair in result["copies"]["pairs"])
    assert {verdict["failed"] for verdict in world.report["gate"]} == {True, False, None}


MIXED_GATE = (
    "accuracy > 0.9", "accuracy.low < base", "accuracy_by_works > 0.5", "accuracy_by_works > base + 5 %", "auc > base",
    "accuracy.change > 5 %", "accuracy_by_works < 2 %",
)  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, tiny_model: str, pictures_only: str) -> Audited:
    """Two releases, and two encoders of which the first has no text side."""
    root = tmp_path_factory.mktemp("mixed")
    draw_works(root, dict.fromkeys(("Ada", "Bo", "Cy", "Fay"), 6))
    placebos = PLACEBOS[:9]

    def prompt(name: str, k: int) -> tuple[str, int]:
        return f"prompt {k // 2} by {name}", k

    tested = ["Ada", "Bo", "Cy"]
    names = [*tested, *placebos]
    write(root, "one", draw_release(root, "one", {"Bo": "Cy"}, prompt, names, 10_000))
    knows = {"Ada": "Ada", "Bo": "Ada", "placebo 0": "Ada"}
    write(root, "two", draw_release(root, "two", knows, prompt, names, 3_000_000))
    models = {"style": f"{pictures_only}:3", "tiny": Path(tiny_model.removeprefix("local-dir:"))}
    return audited(
        root, models, {"one": placebos, "two": placebos}, tested, tests='level = 0.4\nadjust = "bh"',
        fail_if=MIXED_GATE,
    )  # fmt: skip


def test_encoders_with_and_without_a_text_side(mixed: Audited) -> None:
    problems = mixed.problems(mixed.report)
    assert problems == [], "\n".join(problems)
    by_works = [result.get("by_works") for result in mixed.report["results"]]
    assert [found is not None for found in by_works] == [True, True, False, False]
    two = {row["artist"]: row for row in by_works[1]["artists"]}
    assert two["Ada"]["top1"] > 0.5 > two["Bo"]["top1"] and two["Bo"]["confused_with"] == "Ada"
    assert two["Ada"]["placebo_share"] > 0 and two["Ada"]["p_named"] > 1 / 10  # a placebo name is as near


def test_few_prompts_and_no_placebo_names(tmp_path: Path, tiny_model: str) -> None:
    """Fixed prompts, Benjamini-Yekutieli, no references except rivals, and imitations of the background artists too."""
    draw_works(tmp_path, dict.fromkeys(("Ada", "Bo", "Cy", "Fay"), 6))

    def prompt(name: str, k: int) -> tuple[str, int]:
        return f"prompt {k // 3} by {name}", k

    write(
        tmp_path,
        "r",
        draw_release(
            tmp_path, "r", {"Ada": "Ada", "Bo": "Bo"}, prompt, ["Ada", "Bo", "Cy", "Fay"], 40_000, 6, 0
        ),
    )
    model = Path(tiny_model.removeprefix("local-dir:"))
    few = audited(tmp_path, {"tiny": model}, {"r": []}, ["Ada", "Bo", "Cy"],
                  tests='level = 0.8\nadjust = "by"')  # fmt: skip
    assert few.problems(few.report) == []
    rows = few.report["results"][0]["artists"]
    assert {row["finding"] for row in rows} == {"nearer than other artists", "not shown"}
    assert all(row["prompts_held_fixed"] and row["p_name"] is None for row in rows)


# Alterations must be detected


def altered(value: Any) -> Any:
    """Return a different value of the same kind; proportions move by 0.5 across the middle."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value - 0.5 if value > 0.5 else value + 0.5
    return f"{value}x" if isinstance(value, str) else 0.123


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield every figure inside; of lists, only the last element."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, (*path, key))
    elif isinstance(value, list):
        if value:
            yield from leaves(value[-1], (*path, len(value) - 1))
    else:
        yield path


def combined_place(report: dict[str, Any], key: str, *path: Any) -> str:
    """How the checker calls a figure of the findings by all encoders together."""
    if key == "findings":
        return f"findings.{path[0]}"
    if key != "artists":
        return key
    encoder = f".{report['encoders'][path[2]]['name']}" if path[1] == "encoders" else ""
    return f"=Ed{encoder}.{'encoders' if path[-1] == 'encoder' else path[-1]}"


def figures(report: dict[str, Any]) -> dict[tuple[Any, ...], str]:
    """Locations of figures, one of every part of a report, and the start of the checker's message if it is altered."""
    one, two = "one/tiny: ", "two/tiny: "
    against = "two against one/tiny: "
    parts: list[tuple[tuple[Any, ...], Callable[..., str]]] = [
        (("results", 0, "summary"), lambda *path: f"{one}summary.{'.'.join(path)}:"),
        (("results", 0, "artists", 1), lambda key, *path: f"{one}Bo.{'.'.join(map(str, (key, *path)))}:"
         if key == "neighbours" else f"{one}Bo.{key}:"),
        (("results", 1, "confusion"), lambda key, *_: f"{two}confusion: {key}:"),
        (("results", 1, "label_curve"), lambda key, *_: f"{two}label_curve: {key}"),
        (("results", 1, "copies"), lambda key, *path: f"{two}copies.{'.'.join(map(str, path)) if path else key}:"),
        (("combined", 0), lambda key, *path: f"combined.one: {combined_place(report, key, *path)}:"),
        (("agreement", 0), lambda key, *path: f"agreement: one.{'=Ed' if path[1:] else key}:"),
        (("releases", 1), lambda key, *_: f"releases.two: {key}:"),
        (("comparisons", 0, "figures"), lambda figure, key: f"{against}figures.{figure}: {key}:"),
        (("comparisons", 0, "artists", 3), lambda key: f"{against}Cy: {key}:"),
        (("comparisons", 0, "counts"), lambda *path: f"{against}counts."
         + (f"all.{path[2]}.{path[1]}" if path[0] == "all" else path[0])),
        (("comparisons", 0, "shifts"), lambda way, *_: f"{against}shifts.{way}:"),
        *(((("gate", n)), lambda key, n=n: f"gate.{report['gate'][n]['condition']}: {key}:") for n in range(len(GATE))),
    ]  # fmt: skip
    found = {}
    for start, named in parts:
        at: Any = report
        for key in start:
            at = at[key]
        found |= {(*start, *path): named(*path) for path in leaves(at)}
    no_figures = {
        "artist",
        "release",
        "encoder",
        "condition",
        "name",
        "source",
        "model",
        "revision",
        "digest",
    }
    # The error rates are drawn at random.
    return {
        path: place
        for path, place in found.items()
        if (path[-1] not in no_figures or "pairs" in path) and "error_rates" not in path
    }


def test_every_altered_figure_is_detected(world: Audited) -> None:
    """Alter one whole summary, artist, comparison and so on: each is named, along with figures derived from it."""
    asked = figures(world.report)
    assert len(asked) > 200
    # Figures that are checked against other figures of the report are altered separately.
    groups = [
        {
            path: place
            for path, place in asked.items()
            if (path[0] == "gate", bool({"figures", "all"} & {*path})) == kind
        }
        for kind in ((False, False), (False, True), (True, False))
    ]
    for group, parts in zip(groups, (("results", "comparisons"), ("comparisons",), ("gate",)), strict=True):
        report = copy.deepcopy(world.report)
        for path in group:
            at = report
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = altered(at[path[-1]])
        problems = world.problems(report, *parts)
        missed = {
            path: place for path, place in group.items() if not any(p.startswith(place) for p in problems)
        }
        assert missed == {}


def test_every_altered_cell_is_detected(world: Audited, tmp_path: Path) -> None:
    lines = (world.folder / "artists.csv").read_text(encoding="utf-8-sig").splitlines()
    columns, cells = lines[0].split(","), lines[2].split(",")
    lines[2] = ",".join(f"7{cell}" for cell in cells)
    (tmp_path / "artists.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    problems = check_table(world.report, tmp_path / "artists.csv")
    assert [problem.split(":")[0].rpartition(".")[2] for problem in problems] == columns


# Real works

N_TESTED, N_BACKGROUND, N_MADE = 46, 4, 8


@pytest.mark.skipif(
    not (DESIGNERS / "held-out.jsonl").exists(),
    reason=f"no {DESIGNERS}/held-out.jsonl: run scripts/fetch-designers",
)
def test_on_seventy_designers(tmp_path: Path) -> None:
    """Held-out works serve as a release's pictures, eight per designer; twenty designers serve as invented names."""
    rows = [
        json.loads(line) for line in (DESIGNERS / "held-out.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    made: dict[str, list[str]] = {}
    for row in rows:
        if row["kind"] == "imitations":
            made.setdefault(row["artist"], []).append(f"pictures/{row['path'].removeprefix('pictures/')}")
    assert len(made) == 70
    many = sorted(name for name, paths in made.items() if len(paths) >= N_MADE)
    tested, background = many[:N_TESTED], many[N_TESTED : N_TESTED + N_BACKGROUND]
    asked = {name: name for name in (*tested, *background)}
    asked |= {name: f"placebo {k}" for k, name in enumerate(sorted(set(made) - set(asked)))}
    for row in rows:
        there = tmp_path / row["path"]
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DESIGNERS / row["path"], there)
    write(tmp_path, "works", [{"path": row["path"], "artist": row["artist"]} for row in rows
                              if row["kind"] == "works" and row["artist"] in (*tested, *background)])  # fmt: skip
    write(tmp_path, "held-out", [{"path": path, "artist": asked[name], "prompt": f"{k}", "seed": k}
                                 for name in made for k, path in enumerate(made[name][:N_MADE])])  # fmt: skip
    found = audited(
        tmp_path, {"demo": ROOT / "indexer" / "demo" / "clip"},
        {"held-out": sorted(set(asked.values()) - set(made))}, tested,
        tests='level = 0.05\nadjust = "holm"', works="works.jsonl", fail_if=("accuracy > 0.2", "significant > 46"),
    )  # fmt: skip
    assert found.problems(found.report) == []
    summary = found.report["results"][0]["summary"]
    assert (summary["n_artists"], summary["n_placebo_names"]) == (N_TESTED, 20)
    assert summary["accuracy"] > 0.4 and summary["auc"] > 0.7
