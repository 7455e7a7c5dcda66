"""README's chain generate -> build -> match, with the small diffusion model of the demo."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imindex.indexer.demo.artists import NAMES, draw
from imindex.indexer.demo.diffusion import FOLDER, diffusion_folder
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.places import ROOT

pytestmark = [
    pytest.mark.skipif(
        not (FOLDER / "final.safetensors").is_file(), reason="the demo's releases are not trained yet"
    ),
    pytest.mark.usefixtures("one_thread"),
]
HERE = {
    "stabilityai/stable-diffusion-2-1": "model",
    "--model ViT-L-14 --pretrained openai": "--model demo --device cpu",
}
"""What stands here for README's models."""


def chain() -> list[list[str]]:
    """The three commands of README, with the models of the demo."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "imindex generate" in b)
    for printed, here in HERE.items():
        assert block.count(printed) == 1
        block = block.replace(printed, here)
    commands = [shlex.split(line)[1:] for line in block.splitlines()]
    assert [words[0] for words in commands] == ["generate", "build", "match"]
    return commands


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Path]:
    """Return a function that makes a folder with the demo's model, works, and a list of artists, and goes there."""

    def made(artists: int, works: int) -> Path:
        diffusion_folder("final", tmp_path / "model")
        for name in NAMES[:artists]:
            (tmp_path / "works" / name).mkdir(parents=True)
            for seed in range(works):
                draw(name, seed=seed, size=64).save(tmp_path / "works" / name / f"{seed}.png")
        (tmp_path / "artists.txt").write_text("\n".join(NAMES[:artists]), encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return made


def run_chain(more: tuple[object, ...], placebos: int) -> dict[str, Any]:
    """Run README's commands, the first with further options; return the JSON of the last."""
    generate, build, match = chain()
    assert generate[generate.index("--placebos") + 1] == "99"
    generate[generate.index("--placebos") + 1] = str(placebos)
    run(*generate, "--device", "cpu", "--batch-size", 8, *more)
    run(*build)
    text = run(*match, "--resamples", 99).output
    assert f"{placebos} placebo names (" in text and "from the manifest" in text
    said: dict[str, Any] = json.loads(run(*match, "--json", "--resamples", 99).stdout)
    return said


def without_names(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "names"}


def invented(folder: Path) -> list[str]:
    lines = map(
        json.loads, (folder / "imitations/sd-2.1/manifest.jsonl").read_text(encoding="utf-8").splitlines()
    )
    return list(dict.fromkeys(line["artist"] for line in lines if line["arm"] == "placebo"))


def test_the_chain_of_the_readme(world: Callable[[int, int], Path]) -> None:
    folder = world(3, 5)
    said = run_chain(
        ("--per-artist", 1, "--steps", 1, "--nameless", 1, "--generic", "A tree", "--per-generic", 1), 6
    )
    names = invented(folder)
    assert len(names) == 6 and set(said["evidence"]["placebos"]) == set(names)
    assert {key: said["names"][key] for key in ("placebo_source", "n_nameless", "n_control")} == {
        "placebo_source": "manifest", "n_nameless": 1, "n_control": 1,
    }  # fmt: skip
    options = [word for name in names for word in ("--placebo", name)]
    passed = run(*chain()[2], "--json", "--resamples", 99, *options).stdout
    assert without_names(json.loads(passed)) == without_names(said)
    # The same by the layout of README, with the folder of the release in its place.
    again = run("build", ".", "-i", "audit.h5", "--device", "cpu")
    assert "Encoded 0 pictures (65 unchanged, 0 rejected)" in again.stdout
    assert "sd-2.1 is read by its manifest.jsonl" in again.stderr
    with Index("audit.h5") as index:
        assert {c.name for c in index.collections} == {"works", "sd-2.1"}
        assert not {"names", "nameless", "generic"} & set(index.artists)


@pytest.mark.slow
def test_the_chain_with_99_placebo_names(world: Callable[[int, int], Path]) -> None:
    folder = world(8, 8)
    said = run_chain(("--per-artist", 2, "--steps", 8), 99)
    assert len(invented(folder)) == said["names"]["n_placebos"] == 99
    assert min(artist["p_name"] for artist in said["artists"] if artist["p_name"] is not None) == 0.01
    found = said["evidence"]["overall"]["findings"]
    assert found["imitated"] + found["name effect; specificity not shown"] > 0 or sum(
        n for finding, n in found.items() if finding.startswith("name effect")
    )


@pytest.mark.parametrize("kind", ["works", "background", "control", "imitations/r1"])
@pytest.mark.parametrize("name", ["manifest.csv", "manifest.jsonl"])
def test_a_manifest_inside_a_folder_of_the_layout_is_read(tmp_path: Path, kind: str, name: str) -> None:
    from imindex.indexer.sources.find import find

    folder = tmp_path / kind
    (folder / "x").mkdir(parents=True)
    for stem in ("1", "2", "not listed"):
        Image.new("RGB", (8, 8), (9, 9, 9)).save(folder / "x" / f"{stem}.png")
    rows = [{"path": f"x/{n}.png", "artist": "Ada", "seed": n} for n in (1, 2)]
    if name.endswith("csv"):
        lines = ["path,artist,seed", *(",".join(map(str, row.values())) for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines))
    for source in (tmp_path, folder):
        notes: list[str] = []
        items = list(find([source], note=notes.append))
        assert [(Path(one.path).stem, one.kind, one.seed) for one in items] == [
            ("1", kind.partition("/")[0], 1), ("2", kind.partition("/")[0], 2),
        ]  # fmt: skip
        assert {one.artist for one in items} == {"" if kind == "control" else "Ada"}
        assert {one.collection for one in items} == {kind.rpartition("/")[2]}
        assert notes == [
            f"{folder} is read by its {name}: 1 picture in it is not listed there, and not used, such as "
            "x/not listed.png."
        ]
