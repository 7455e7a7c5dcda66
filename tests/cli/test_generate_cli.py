"""The command generate: its output, and the files for later commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import imindex.indexer.generate.generate
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.placebo_names import SURNAMES
from imindex.indexer.store.index import Index
from tests.support.commands import imported_by, last_line, run
from tests.support.pipelines import save_pipeline

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("models") / "tiny", kind="sd-checked")


@pytest.fixture
def artists(tmp_path: Path) -> Path:
    (tmp_path / "artists.csv").write_text('artist,born\nAda Example,1901\n"Bo, ""B"" Sample",1902\n')
    return tmp_path / "artists.csv"


def how(model: Path, artists: Path, out: Path, *more: object) -> list[object]:
    arms = ("--placebos", 2, "--nameless", 2, "--generic", "A tree", "--per-generic", 1, "--per-artist", 2)
    settings = ("--steps", 2, "--device", "cpu", "--batch-size", 4)
    return ["generate", "--model", model, "--artists", artists, "--out", out, *arms, *settings, *more]


def test_pictures_are_generated_built_and_resumed(
    model: Path, artists: Path, tiny_model: str, tmp_path: Path
) -> None:
    out = tmp_path / "imitations" / "sd"
    made = run(*how(model, artists, out))
    assert re.fullmatch(
        rf"Made 11 pictures \(0 already present, (\d+) blocked\) of 4 names in {re.escape(str(out))}\.",
        last_line(made),
    )
    assert len(made.stdout.splitlines()) == 1
    again = run(*how(model, artists, out, "--artist", "Cy", "--json"))
    said = json.loads(again.stdout)
    assert (said["made"], said["there"], said["names"], said["release"]) == (2, 11, 5, "sd")
    blocked = [one["path"] for one in said["blocked"]]
    assert 0 < len(blocked) < 13
    third = run(*how(model, artists, out))
    assert (
        last_line(third).startswith("Made 0 pictures (11 already present")
        and "2 pictures of earlier runs" in third.stderr
    )
    listed = re.findall(r"Blocked \(safety filter\): (\S+):", third.stderr)
    assert listed and set(listed) <= set(blocked)
    run("build", out / "manifest.jsonl", "-i", tmp_path / "i.h5", "--model", tiny_model, "--device", "cpu")
    with Index(tmp_path / "i.h5") as index:
        assert index.n == 13 - len(blocked)  # what was blocked is no imitation
        assert {"Ada Example", 'Bo, "B" Sample', "Cy"} <= set(index.artists)


def test_dry_run_prints_the_plan_and_generates_nothing(artists: Path, tmp_path: Path) -> None:
    out = tmp_path / "sd"
    words = how(Path("no/such/model"), artists, out, "--dry-run")
    result = run(*words)
    assert last_line(result) == f"Would make 11 pictures (0 already present) in {out}; made none."
    assert "artists\tArtwork from Ada Example\t2\t2\t4\n" in result.stdout
    said = json.loads(run(*words, "--json").stdout)
    assert (said["pictures"], said["to_make"]) == (11, 11)
    assert {arm: one["pictures"] for arm, one in said["arms"].items()} == {
        "artist": 4, "placebo": 4, "nameless": 2, "generic": 1,
    }  # fmt: skip
    assert said["arms"]["nameless"]["first_prompts"] == ["Artwork"]
    assert not out.exists()
    assert not imported_by(*map(str, words)) & {"torch", "diffusers", "transformers", "PIL"}


def test_specified_placebo_names_are_combined_with_invented_ones(artists: Path, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text(f"Mine {SURNAMES[0]}\n")
    artists.write_text(artists.read_text() + f"Real {SURNAMES[1]}\n")
    words = how(
        Path("m"), artists, tmp_path / "sd", "--placebo-names", tmp_path / "own.txt", "--placebos", 900
    )
    said = json.loads(run(*words, "--dry-run", "--json").stdout)["arms"]["placebo"]
    assert said["names"] == 901 and said["first_prompts"][0].endswith(f"Mine {SURNAMES[0]}")


def test_a_stopped_run_explains_how_to_resume(
    model: Path, artists: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from imindex.indexer.generate.release_folder import Folder

    add = Folder.add

    def stop(self: Folder, *what: Any) -> None:
        add(self, *what)
        if self.count() == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Folder, "add", stop)
    result = run(*how(model, artists, tmp_path / "sd"), code=130)
    assert (
        "Stopped. 3 of 11 pictures are in" in result.stderr
        and "same command again to resume" in result.stderr
    )
    monkeypatch.undo()
    assert "Made 8 pictures (3 already present" in last_line(run(*how(model, artists, tmp_path / "sd")))


def test_settings_reach_the_model(
    model: Path, artists: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[Any] = []

    def spy(shots: Any, out: Path, settings: Any, **more: Any) -> Any:
        given.append((settings, more))
        raise ImindexError("seen")

    monkeypatch.setattr(imindex.indexer.generate.generate, "generate", spy)
    words = (
        "--revision",
        "r",
        "--lora",
        "l",
        "--lora-scale",
        0.5,
        "--scheduler",
        "S",
        "--guidance",
        3,
        "--size",
        "8x16",
    )
    words += ("--negative-prompt", "n", "--dtype", "bf16", "--offload", "model", "--release", "name")
    run(*how(model, artists, tmp_path / "sd", *words), code=1)
    settings, more = given[0]
    assert settings == imindex.indexer.generate.generate.ModelSettings(
        model=str(model), revision="r", lora="l", lora_scale=0.5, scheduler="S", steps=2, guidance=3.0, size="8x16",
        dtype="bf16", negative_prompt="n", offload="model", device="cpu",
    )  # fmt: skip
    assert (more["release"], more["batch_size"]) == ("name", 4)


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["--out", "x", "--artist", "Ada"], "Missing option '--model'", 2),
        (["--model", "m", "--out", "x"], "There is nothing to generate", 2),
        (["--model", "no/such/dir", "--out", "x", "--artist", "Ada"], "does not exist", 1),
        (["--model", "m", "--out", "x", "--artist", "Ada", "--batch-size", "many"], "neither auto nor", 2),
        (["--model", "m", "--out", "x", "--artist", "Ada", "--size", "big"], "is not a size", 1),
        (["--model", "m", "--out", "x", "--artist", "Ada", "--artist", "Ada"], "is listed twice", 1),
        (["--model", "m", "--out", "x", "--artist", "Ada", "--template", "Artwork"], "has no {artist}", 1),
        (["--model", "m", "--out", "x", "--artists", "no.csv"], "no.csv does not exist", 1),
    ],
)
def test_invalid_requests_are_explained(
    words: list[str], said: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in run("generate", *words, code=code).stderr
    assert not Path("x").exists()
