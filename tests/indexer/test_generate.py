"""Generation with real, tiny pipelines: the same pictures however a run is interrupted, and their records."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate import release_folder as generate_folder
from imindex.indexer.generate.generate import ModelSettings, describe, missing
from imindex.indexer.generate.prompts import Shot, shots
from imindex.indexer.sources.find import find
from imindex.indexer.system.atomic import SUFFIX
from tests.support.generating import ASKED, files, lines, pixels, wrap
from tests.support.hostile_names import HOSTILE
from tests.support.pipelines import SIZE, save_pipeline

pytestmark = pytest.mark.usefixtures("one_thread", "loaded_once")


# Pictures do not depend on the rest of the run


@pytest.mark.parametrize("kind", ["sd", "sdxl", "sd3"])
def test_pictures_depend_on_neither_subset_order_nor_batch(kind: str, make: Callable, tmp_path: Path) -> None:
    make("all", kind=kind)
    whole = files(tmp_path / "all")
    rng = np.random.default_rng(0)
    for number, asked in enumerate((ASKED[7:8], [ASKED[i] for i in rng.permutation(len(ASKED))[:6]])):
        make(f"part{number}", asked, kind=kind)
        part = files(tmp_path / f"part{number}")
        assert all(part[shot.path] == whole[shot.path] for shot in asked)
    for batch_size in (1, 2):
        make(f"by{batch_size}", ASKED[:4], kind=kind, batch_size=batch_size)
        worst = max(
            np.abs(pixels(tmp_path / "all", s) - pixels(tmp_path / f"by{batch_size}", s)).max()
            for s in ASKED[:4]
        )
        assert worst <= 1, worst
    assert (
        np.abs(pixels(tmp_path / "all", ASKED[0]) - pixels(tmp_path / "all", ASKED[1])).mean() > 5
    )  # seeds count


def test_the_prompt_and_the_settings_matter(make: Callable, tmp_path: Path) -> None:
    one = ASKED[:1]
    named = Shot(
        "artist",
        "Bo",
        *[getattr(one[0], key) for key in ("template", "number")],
        "Artwork from Bo",
        one[0].seed,
        one[0].path,
    )
    make("as-is", one)
    for name, asked, settings in (
        ("name", [named], {}), ("steps", one, {"steps": 3}), ("guidance", one, {"guidance": 1.5}),
        ("scheduler", one, {"scheduler": "DDIMScheduler"}), ("negative", one, {"negative_prompt": "blue"}),
        ("dtype", one, {"dtype": "bf16"}), ("kind", one, {"kind": "sdxl"}),
    ):  # fmt: skip
        make(name, asked, **settings)
        assert np.abs(pixels(tmp_path / name, one[0]) - pixels(tmp_path / "as-is", one[0])).max() > 1, name
    assert lines(tmp_path / "scheduler")[0]["scheduler"]["class"] == "DDIMScheduler"
    assert lines(tmp_path / "as-is")[0]["guidance"] == 7.5  # the pipeline's own is written down
    make("size", one, size="24x40")
    assert Image.open(tmp_path / "size" / one[0].path).size == (24, 40)
    assert Image.open(tmp_path / "as-is" / one[0].path).size == (SIZE, SIZE)


def test_a_picture_may_have_a_negative_prompt_of_its_own(make: Callable, tmp_path: Path) -> None:
    plain, other = ASKED[:2]
    negative = replace(plain, negative="blue", path=f"negative/{plain.path}")
    make("mixed", [plain, negative, other])
    make("plain", [plain, other])
    assert all(
        files(tmp_path / "mixed")[shot.path] == files(tmp_path / "plain")[shot.path]
        for shot in (plain, other)
    )
    moved = np.abs(pixels(tmp_path / "mixed", negative) - pixels(tmp_path / "mixed", plain)).max()
    assert moved > 1
    make("setting", [plain], negative_prompt="blue")
    assert np.abs(pixels(tmp_path / "setting", plain) - pixels(tmp_path / "mixed", negative)).max() <= 1
    rows = {line["path"]: line for line in lines(tmp_path / "mixed")}
    assert rows[negative.path]["negative"] == "blue" and "negative" not in rows[plain.path]
    assert not missing([plain, negative, other], tmp_path / "mixed")
    with pytest.raises(ImindexError, match="made with negative 'blue', not 'red'"):
        missing([replace(negative, negative="red")], tmp_path / "mixed")


# Interruption and resumption


def test_a_stopped_run_resumes_to_the_same_bytes(make: Callable, tmp_path: Path) -> None:
    report = make("whole")
    assert (report.made, report.there, report.names, report.others) == (len(ASKED), 0, 3, 0)

    def stop(done: int, made: int) -> None:
        if made == 3:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            make("part", progress=stop)
    assert len(missing(ASKED, tmp_path / "part")) == len(ASKED) - 6
    manifest = tmp_path / "part" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])  # a line cut off by a crash
    victim = tmp_path / "part" / ASKED[0].path
    victim.write_bytes(victim.read_bytes()[:-1])
    (tmp_path / "part" / ASKED[1].path).unlink()
    (tmp_path / "part" / "names" / f".x.png.{16 * '0'}{SUFFIX}").write_bytes(b"half")
    report = make("part")
    assert (report.made, report.there) == (len(ASKED) - 3, 3)
    assert files(tmp_path / "part") == files(tmp_path / "whole")
    before = manifest.stat().st_mtime_ns
    assert make("part").made == 0 and manifest.stat().st_mtime_ns == before


def test_a_resumed_run_says_what_is_there_before_the_model_is_loaded(
    make: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise ImindexError("no model")

    make("part", ASKED[:3])
    monkeypatch.setattr("imindex.indexer.generate.generate.Pipeline", load)
    calls: list[tuple[int, int]] = []
    with pytest.raises(ImindexError, match="no model"):
        make("part", progress=lambda *call: calls.append(call))
    assert calls == [(3, 0)]


def test_readers_of_an_unfinished_folder_are_warned(make: Callable, tmp_path: Path) -> None:
    def stop(done: int, made: int) -> None:
        if made == 3:
            raise KeyboardInterrupt

    folder = tmp_path / "part"

    def notes() -> list[str]:
        said: list[str] = []
        list(find([folder], kind="imitations", note=said.append))
        return [line for line in said if line.startswith("Warning: ")]

    make("part", ASKED[:2])
    assert not notes()
    with pytest.raises(KeyboardInterrupt):
        make("part", ASKED[2:], progress=stop)
    n = len(ASKED) - 2
    assert len(notes()) == 1 and f"part is unfinished: 3 of {n} pictures. Run `imindex gen" in notes()[0]
    with generate_folder.locked(folder, "imindex generate x"):
        assert "part is in use by process" in notes()[0] and "imindex generate x" in notes()[0]
    make("part", ASKED[2:])
    assert not notes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_repeatedly_killed_run_resumes_to_the_same_bytes(make: Callable, tmp_path: Path) -> None:
    make("whole")  # and everything is imported and loaded
    rng, kills = np.random.default_rng(), 0
    for least in (1, 4, 7):
        child = os.fork()
        if not child:
            # tqdm's lock is shared with the parent, which would wait for a killed child forever.
            tqdm.set_lock(threading.RLock())
            try:
                make("killed")
            finally:
                os._exit(0)
        until = time.monotonic() + 60
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if len(list((tmp_path / "killed").rglob("*.png"))) >= least or time.monotonic() > until:
                time.sleep(rng.uniform(0, 0.02))
                os.kill(child, signal.SIGKILL)
                kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
                break
            time.sleep(0.001)
    there = len(list((tmp_path / "killed").rglob("*.png")))
    assert kills >= 2 and there >= 4
    assert make("killed").made < len(ASKED)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_adding_names_keeps_existing_pictures(make: Callable, tmp_path: Path) -> None:
    more = shots(["Bo", "Di"], per_artist=3)
    make("both")
    report = make("both", more)
    assert (report.made, report.there, report.others) == (3, 3, len(ASKED) - 3)
    assert [line["artist"] for line in lines(tmp_path / "both")[:6]] == ["Bo"] * 3 + ["Di"] * 3
    moved = shots(["Cy"], per_artist=3)  # a placebo name becomes a tested one: the same pictures
    assert make("both", moved).made == 0 and lines(tmp_path / "both")[0]["arm"] == "artist"
    both = make("both", [*ASKED, *more[3:]])
    assert both.made == 0 and both.others == 0
    make("fresh", [*ASKED, *more[3:]])
    assert files(tmp_path / "both") == files(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 3}, "settings.steps 2, not 3"), ({"kind": "sd-ddim"}, "model 'sd', not 'sd-ddim'"),
        ({"guidance": 2.0}, "guidance"), ({"scheduler": "EulerDiscreteScheduler"}, "scheduler.class"),
        ({"dtype": "bf16"}, "dtype"), ({"size": "24"}, "size"),
        ({"asked": shots(["Ada"], per_artist=1, seed=9)}, "made with seed"),
    ],
)  # fmt: skip
def test_another_release_in_the_same_folder_is_refused(
    settings: dict, said: str, make: Callable, tmp_path: Path
) -> None:
    make("one", ASKED[:1])
    before = files(tmp_path / "one")
    with pytest.raises(ImindexError, match=said):
        make("one", **settings)
    assert files(tmp_path / "one") == before


def test_two_processes_do_not_share_a_folder(make: Callable, tmp_path: Path) -> None:
    with (
        generate_folder.locked(tmp_path / "one"),
        pytest.raises(ImindexError, match="one is in use by process"),
    ):
        make("one")


def test_an_invalid_manifest_line_is_named(make: Callable, tmp_path: Path) -> None:
    make("one", ASKED[:1])
    with (tmp_path / "one" / "manifest.jsonl").open("ab") as file:
        file.write(b'{"path": "x"}\n')
    with pytest.raises(ImindexError, match=r"line 2 cannot be read.*Delete the line"):
        make("one")


# Records


def test_names_of_every_kind_reach_the_index_unharmed(make: Callable, tmp_path: Path) -> None:
    asked = shots(HOSTILE, templates=['"{artist}", oil'], per_artist=1, nameless=1)
    make("hostile", asked, batch_size=9)
    items = list(find([tmp_path / "hostile" / "manifest.jsonl"]))
    assert [(i.artist, i.prompt, i.seed, i.kind) for i in items] == [
        (s.artist, s.prompt, s.seed, s.kind) for s in asked
    ]
    assert {item.collection for item in items} == {"r"} and {i.kind for i in items} == {
        "imitations",
        "control",
    }
    for item, line in zip(items, lines(tmp_path / "hostile"), strict=True):
        picture = Image.open(item.path)
        assert picture.text["prompt"] == item.prompt and picture.text["seed"] == str(item.seed)
        assert picture.text["model"].startswith("sd ") and picture.text["Software"].startswith("imindex ")
        assert hashlib.sha256(Path(item.path).read_bytes()).hexdigest() == line["sha256"]
        assert Path(item.path).resolve().is_relative_to(tmp_path / "hostile")


def test_a_manifest_line_records_how_its_picture_was_made(
    make: Callable, model: Callable, tmp_path: Path
) -> None:
    make("one", ASKED[:1])
    line, about = lines(tmp_path / "one")[0], json.loads((tmp_path / "one" / "release.json").read_text())
    assert {
        "path", "artist", "kind", "collection", "prompt", "seed", "arm", "template", "number", "width", "height",
        "sha256", "blocked", "model", "revision", "pipeline", "scheduler", "steps", "guidance", "size", "dtype",
        "negative_prompt", "lora", "versions",
    } == line.keys()  # fmt: skip
    assert (line["pipeline"], line["dtype"], line["blocked"]) == ("StableDiffusionPipeline", "fp32", None)
    assert line["versions"].keys() == {"imindex", "diffusers", "torch", "transformers"} and all(
        line["versions"].values()
    )
    assert about.items() >= describe(ModelSettings(str(model("sd")), steps=2, device="cpu")).to_dict().items()
    assert about["release"] == "r" and str(tmp_path) not in json.dumps([line, about])


def test_the_digest_depends_on_the_model_and_not_on_its_path(model: Callable, tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        return str(describe(ModelSettings(str(folder), device="cpu")).revision)

    assert re.fullmatch("[0-9a-f]{64}", digest(model("sd")))
    assert digest(shutil.copytree(model("sd"), tmp_path / "copy")) == digest(model("sd"))
    assert digest(save_pipeline(tmp_path / "other", seed=1)) != digest(model("sd"))
    commit = tmp_path / "snapshots" / ("0123456789" * 4)
    assert digest(shutil.copytree(model("sd"), commit)) == commit.name


def test_text_encoders_are_named_as_in_the_configuration(model: Callable, tmp_path: Path) -> None:
    copy = shutil.copytree(model("sd3"), tmp_path / "copy")
    config = copy / "text_encoder" / "config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text()), "_name_or_path": "openai/clip-vit-large-patch14"})
    )
    assert describe(ModelSettings(str(copy), device="cpu")).text_encoders == [
        "CLIPTextModelWithProjection openai/clip-vit-large-patch14 (2 layers, width 16)",
        "CLIPTextModelWithProjection (2 layers, width 16)",
        "T5EncoderModel (1 layers, width 32)",
    ]


def test_pictures_of_the_safety_filter_are_listed(make: Callable, tmp_path: Path) -> None:
    report = make("checked", kind="sd-checked")
    black = [shot.path for shot in ASKED if not pixels(tmp_path / "checked", shot).any()]
    assert 0 < len(black) < len(ASKED)
    assert [one.path for one in report.blocked] == black
    assert {
        line["path"] for line in lines(tmp_path / "checked") if line["blocked"] == "safety filter"
    } == set(black)
    assert make("checked", kind="sd-checked").blocked == report.blocked  # also when they were there


def test_pictures_of_one_colour_are_listed(make: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    wrap(monkeypatch, plain=True)
    report = make("plain", ASKED[:8])
    assert [(one.path, one.reason) for one in report.blocked] == [
        (ASKED[i].path, "one colour") for i in (0, 4)
    ]


@pytest.mark.parametrize(
    "says", ["CUDA out of memory", "[enforce fail] DefaultCPUAllocator: can't allocate memory"]
)
def test_batches_are_halved_when_memory_runs_out(
    says: str, make: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make("by-two", batch_size=2)
    wrap(monkeypatch, most=3, says=says)
    assert make("halved", batch_size=8).batch_size == 2
    assert files(tmp_path / "halved") == files(tmp_path / "by-two")
    wrap(monkeypatch, most=0, says=says)
    with pytest.raises(ImindexError, match=r"not have enough memory for a single picture.*offload"):
        make("none")


def test_other_forward_errors_are_not_treated_as_out_of_memory(
    make: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap(monkeypatch, most=0, says="shapes do not fit")
    with pytest.raises(ImindexError, match=r"(?s)RuntimeError.*shapes do not fit"):
        make("none")


def test_prompts_beyond_the_token_limit_are_counted(make: Callable) -> None:
    assert make("short", ASKED[:1]).notes == ()
    late = shots(["Ada"], templates=["{artist}", "Art by {artist}, " + "word " * 100], per_artist=2)
    assert "1 of 2 prompts are longer than the model's limit of 77 tokens" in " ".join(
        make("long", late).notes
    )


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("Ada Example", "word " * 100 + "by {artist}"),
        ("Ada Example", "word " * 75 + "{artist}"),
    ],
)
def test_a_name_beyond_the_token_limit_is_refused(make: Callable, name: str, template: str) -> None:
    """The picture would not depend on the name, and the artist would look as if not imitated."""
    with pytest.raises(
        ImindexError, match=r"reads 77 tokens .* in 1 of 1 prompts the artist's name comes later"
    ):
        make("late", shots([name], templates=[template], per_artist=1))
