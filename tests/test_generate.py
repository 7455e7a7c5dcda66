"""Pictures from real, tiny pipelines: the same whatever stops the run, and refused where they would not be."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pipelines import SIZE, save_pipeline
from test_prompts import HOSTILE

from indexer import generate_folder, generate_pipeline
from indexer.errors import ImindexError
from indexer.generate import ModelSettings, Report, check, describe, generate, measure, missing
from indexer.prompts import Shot, shots
from indexer.sources import find

ASKED = shots(["Ada", "Bo"], placebos=["Cy"], per_artist=3, nameless=2, generic=["A tree"], per_generic=1)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads wait for each other more than they compute at this size, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what was loaded from one run to the next; nothing but the time of the tests depends on it."""
    load = generate_pipeline._load

    def kept(found: Any, model: ModelSettings) -> Any:
        key = (
            found.about["revision"],
            json.dumps(found.about["scheduler"]),
            found.about["settings"]["dtype"],
        )
        if model.lora or found.variant or "copy" in str(found.folder):
            return load(found, model)
        return LOADED[key] if key in LOADED else LOADED.setdefault(key, load(found, model))

    monkeypatch.setattr(generate_pipeline, "_load", kept)


LOADED: dict[tuple[str, ...], Any] = {}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a pipeline of a kind, made once."""
    folder = tmp_path_factory.mktemp("models")
    return lambda kind: folder / kind if (folder / kind).exists() else save_pipeline(folder / kind, kind=kind)


@pytest.fixture
def make(model: Callable[[str], Path], tmp_path: Path) -> Callable[..., Report]:
    """Return a function that generates into a folder of the test's, two steps a picture, on the CPU."""

    def run(
        out: str, asked: list[Shot] = ASKED, *, kind: str = "sd", batch_size: int = 4, **settings: Any
    ) -> Report:
        progress = settings.pop("progress", lambda done, made: None)
        settings = {"steps": 2, "device": "cpu", "model": str(model(kind)), **settings}
        return generate(
            asked,
            tmp_path / out,
            ModelSettings(**settings),
            release="r",
            batch_size=batch_size,
            progress=progress,
        )

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def pixels(folder: Path, shot: Shot) -> np.ndarray:
    return np.asarray(Image.open(folder / shot.path)).astype(int)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_bytes().split(b"\n")[:-1]]


# The same picture, whatever is made with it


@pytest.mark.parametrize("kind", ["sd", "sdxl", "sd3"])
def test_any_subset_order_and_batch_makes_the_same_pictures(
    kind: str, make: Callable, tmp_path: Path
) -> None:
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


def test_the_prompt_and_the_settings_count(make: Callable, tmp_path: Path) -> None:
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


# Stopped, and gone on with


def test_a_run_stopped_anywhere_goes_on_to_the_same_bytes(make: Callable, tmp_path: Path) -> None:
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
    (tmp_path / "part" / "names" / ".x.png.1.new").write_bytes(b"half")
    report = make("part")
    assert (report.made, report.there) == (len(ASKED) - 3, 3)
    assert files(tmp_path / "part") == files(tmp_path / "whole")
    before = manifest.stat().st_mtime_ns
    assert make("part").made == 0 and manifest.stat().st_mtime_ns == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_killed_again_and_again_goes_on_to_the_same_bytes(make: Callable, tmp_path: Path) -> None:
    make("whole")  # and everything is imported and loaded
    rng, kills = np.random.default_rng(), 0
    for least in (1, 4, 7):
        child = os.fork()
        if not child:
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


def test_names_can_be_added_and_nothing_is_lost(make: Callable, tmp_path: Path) -> None:
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
    with generate_folder.locked(tmp_path / "one"), pytest.raises(ImindexError, match="Another process"):
        make("one")


def test_a_line_that_is_none_is_named(make: Callable, tmp_path: Path) -> None:
    make("one", ASKED[:1])
    with (tmp_path / "one" / "manifest.jsonl").open("ab") as file:
        file.write(b'{"path": "x"}\n')
    with pytest.raises(ImindexError, match=r"line 2 cannot be read.*Delete the line"):
        make("one")


# What is written


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


def test_a_line_says_how_its_picture_came_to_be(make: Callable, model: Callable, tmp_path: Path) -> None:
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
    assert about.items() >= describe(ModelSettings(str(model("sd")), steps=2, device="cpu")).items()
    assert about["release"] == "r" and str(tmp_path) not in json.dumps([line, about])


def test_the_digest_is_of_the_model_and_not_of_its_place(model: Callable, tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        return str(describe(ModelSettings(str(folder), device="cpu"))["revision"])

    assert re.fullmatch("[0-9a-f]{64}", digest(model("sd")))
    assert digest(shutil.copytree(model("sd"), tmp_path / "copy")) == digest(model("sd"))
    assert digest(save_pipeline(tmp_path / "other", seed=1)) != digest(model("sd"))
    commit = tmp_path / "snapshots" / ("0123456789" * 4)
    assert digest(shutil.copytree(model("sd"), commit)) == commit.name


def test_text_encoders_are_named_as_the_file_names_them(model: Callable, tmp_path: Path) -> None:
    copy = shutil.copytree(model("sd3"), tmp_path / "copy")
    config = copy / "text_encoder" / "config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text()), "_name_or_path": "openai/clip-vit-large-patch14"})
    )
    assert describe(ModelSettings(str(copy), device="cpu"))["text_encoders"] == [
        "CLIPTextModelWithProjection openai/clip-vit-large-patch14 (2 layers, width 16)",
        "CLIPTextModelWithProjection (2 layers, width 16)",
        "T5EncoderModel (1 layers, width 32)",
    ]


def test_pictures_of_the_safety_filter_are_listed(make: Callable, tmp_path: Path) -> None:
    report = make("checked", kind="sd-checked")
    black = [shot.path for shot in ASKED if not pixels(tmp_path / "checked", shot).any()]
    assert 0 < len(black) < len(ASKED)
    assert [one["path"] for one in report.blocked] == black
    assert {
        line["path"] for line in lines(tmp_path / "checked") if line["blocked"] == "safety filter"
    } == set(black)
    assert make("checked", kind="sd-checked").blocked == report.blocked  # also when they were there


class Stub:
    """What diffusers' pipelines have in common, around a real one or in its place."""

    components: dict = {}  # noqa: RUF012
    default_sample_size, vae_scale_factor = 4, 8

    def __init__(self, pipe: Any, most: int = 99, *, plain: bool = False, says: str = "CUDA out of memory"):
        self.pipe, self.most, self.plain, self.says = pipe, most, plain, says

    def __call__(self, **asked: Any) -> Any:
        if len(asked["prompt"]) > self.most:
            raise torch.OutOfMemoryError(self.says) if "CUDA" in self.says else RuntimeError(self.says)
        output = self.pipe(**asked)
        if self.plain:
            output.images[0] = Image.new("RGB", (SIZE, SIZE), (7, 8, 9))
        return output


def wrap(monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    load = generate_pipeline._load
    monkeypatch.setattr(generate_pipeline, "_load", lambda found, model: Stub(load(found, model), **how))


def test_pictures_of_one_colour_are_listed(make: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    wrap(monkeypatch, plain=True)
    report = make("plain", ASKED[:8])
    assert [(one["path"], one["reason"]) for one in report.blocked] == [
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
    with pytest.raises(ImindexError, match=r"not enough memory for a single picture.*--offload"):
        make("none")


def test_what_goes_wrong_in_a_pass_is_not_taken_for_want_of_memory(
    make: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap(monkeypatch, most=0, says="shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        make("none")


def test_prompts_longer_than_the_model_reads_are_counted(make: Callable) -> None:
    assert make("short", ASKED[:1]).notes == ()
    asked = shots(["word " * 100, "Ada"], per_artist=1)
    assert "1 of 2 prompts are longer than the 77 tokens" in " ".join(make("long", asked).notes)


# The disk


def test_a_full_disk_is_known_before(make: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for free, said in ((100, "Free space, ask for fewer"), (2 * SIZE * SIZE * len(ASKED), "")):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path, free=free: shutil._ntuple_diskusage(free, 0, free)
        )  # type: ignore[attr-defined]
        if said:
            with pytest.raises(ImindexError, match=said):
                make("full")
            assert not list((tmp_path / "full").rglob("*.png"))
        else:
            assert "GiB are free" in make("full").notes[0]


def test_a_disk_that_fills_loses_nothing(
    make: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save, written = Image.Image.save, []

    def fill(self: Image.Image, path: Path, **how: Any) -> None:
        written.append(path)
        if len(written) > 5:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(self, path, **how)

    monkeypatch.setattr(Image.Image, "save", fill)
    with pytest.raises(ImindexError, match=r"is full.*same command again"):
        make("disk")
    assert len(missing(ASKED, tmp_path / "disk")) == len(ASKED) - 5
    monkeypatch.undo()
    assert make("disk").made == len(ASKED) - 5
    make("whole")
    assert files(tmp_path / "disk") == files(tmp_path / "whole")


# Models that are not there, not whole, or not what is asked for


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no/such/folder", "does not exist.*save_pretrained"), ("word", "does not exist"), (".", "no model_index.json"),
        ("file.safetensors", "is a file.*from_single_file"), ("nobody/nothing", "cannot be fetched.*path of a folder"),
    ],
)  # fmt: skip
def test_models_that_are_not_there(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    Path("file.safetensors").write_bytes(b"")
    for act in (check, describe, lambda m: generate(ASKED, tmp_path / "out", m), lambda m: measure(ASKED, m)):
        with pytest.raises(ImindexError, match=said):
            act(ModelSettings(name, device="cpu"))
    assert not (tmp_path / "out").exists()


def damaged(folder: Path, change: dict[str, Any]) -> str:
    file = folder / "model_index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    return str(folder)


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        ({"_class_name": "StableDiffusionImg2ImgPipeline"}, {}, "from a prompt alone .it takes image"),
        ({"_class_name": "StableCascadeDecoderPipeline"}, {}, "image_embeddings"),
        ({"_class_name": "WanPipeline"}, {}, "num_frames"), ({"_class_name": "DDPMPipeline"}, {}, "no prompt"),
        ({"_class_name": "FancyPipeline"}, {}, "does not have"), ({"_class_name": ["x", "Y"]}, {}, "code of its own"),
        ({"_class_name": "LatentConsistencyModelPipeline"}, {"negative_prompt": "x"}, "takes no negative_prompt"),
        ({}, {"scheduler": "EulerDiscreteSchedular"}, "Did you mean EulerDiscreteScheduler"),
        ({}, {"scheduler": "DPMSolverSDEScheduler"}, "does not come from a picture's seed"),
        ({}, {"scheduler": "UNet2DConditionModel"}, "no scheduler"),
        ({}, {"revision": "main"}, "has no revisions"),
        ({}, {"device": "cuda:77"}, "CUDA devices"), ({}, {"device": "tpu"}, "unknown"),
        ({}, {"offload": "model"}, "for GPUs"),
        ({}, {"lora": "nobody/nothing"}, "LoRA nobody/nothing is no file"),
        ({}, {"lora": "."}, "files of LoRA weights"),
    ],
)  # fmt: skip
def test_what_a_model_cannot_do_is_known_before_it_is_loaded(
    change: dict, settings: dict, said: str, model: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    folder = damaged(shutil.copytree(model("sd"), tmp_path / "copy"), change)
    with pytest.raises(ImindexError, match=said):
        describe(ModelSettings(**{"model": folder, "device": "cpu", **settings}))


def test_settings_that_mean_nothing_are_refused() -> None:
    for settings in (
        {"size": "big"},
        {"size": "0"},
        {"size": "8x"},
        {"dtype": "fp8"},
        {"offload": "all"},
        {"steps": -1},
    ):
        with pytest.raises(ImindexError):
            ModelSettings("m", **settings)
    with pytest.raises(ImindexError, match="No model"):
        ModelSettings(" ")


def test_a_size_that_the_pipeline_refuses_is_an_error_for_people(make: Callable) -> None:
    with pytest.raises(ImindexError, match=r"refuses what it is asked.*Change the settings"):
        make("odd", size="33")


def test_code_that_comes_with_a_model_is_not_run(model: Callable, tmp_path: Path) -> None:
    copy = shutil.copytree(model("sd"), tmp_path / "copy")
    (copy / "unet" / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n")
    damaged(copy, {"unet": ["mine", "Mine"]})
    for act in (check, lambda m: generate(ASKED, tmp_path / "out", m)):
        with pytest.raises(ImindexError, match="code of its own for unet"):
            act(ModelSettings(str(copy), device="cpu"))
    assert not (tmp_path / "ran").exists()


def test_weights_that_can_run_code_are_not_read(model: Callable, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / "ran"), "w")

    copy = shutil.copytree(model("sd"), tmp_path / "copy")
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({"x": Evil()}, copy / "unet" / "diffusion_pytorch_model.bin")
    settings = ModelSettings(str(copy), device="cpu")
    with pytest.raises(ImindexError, match=r"unet has no weights in safetensors"):
        check(settings)
    with pytest.raises(ImindexError, match="cannot be loaded"):
        generate(ASKED, tmp_path / "out", settings)
    assert not (tmp_path / "ran").exists()


def test_a_model_that_is_not_whole_is_found_before(model: Callable, tmp_path: Path) -> None:
    check(ModelSettings(str(model("sd-checked")), device="cpu"))
    copy = shutil.copytree(model("sd"), tmp_path / "copy")
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ImindexError, match=r"vae.*not whole"):
        check(ModelSettings(str(copy), device="cpu"))
    shutil.rmtree(copy / "vae")
    with pytest.raises(ImindexError, match="has no vae"):
        check(ModelSettings(str(copy), device="cpu"))


def test_weights_that_are_there_in_fp16_alone_are_found(
    make: Callable, model: Callable, tmp_path: Path
) -> None:
    copy = shutil.copytree(model("sd"), tmp_path / "sd")
    for file in copy.rglob("*.safetensors"):
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    check(ModelSettings(str(copy), device="cpu"))
    make("variant", ASKED[:1], model=str(copy))
    make("plain", ASKED[:1])
    assert (pixels(tmp_path / "variant", ASKED[0]) == pixels(tmp_path / "plain", ASKED[0])).all()


def test_lora_weights_count_by_their_scale(make: Callable, model: Callable, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    import diffusers

    pipe = diffusers.DiffusionPipeline.from_pretrained(model("sd"))
    torch.manual_seed(0)
    pipe.unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights="gaussian"))
    for name, weights in pipe.unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights)
    pipe.save_lora_weights(tmp_path / "lora", unet_lora_layers=peft.get_peft_model_state_dict(pipe.unet))
    one = ASKED[:1]
    make("without", one)
    for scale in (0.0, 0.5, 1.0):
        make(f"at{scale}", one, lora=str(tmp_path / "lora"), lora_scale=scale)
    far = [
        np.abs(pixels(tmp_path / f"at{s}", one[0]) - pixels(tmp_path / "without", one[0])).mean()
        for s in (0.0, 0.5, 1.0)
    ]
    assert far[0] < 0.01 < far[1] and far[1] != far[2]
    said = lines(tmp_path / "at0.5")[0]["lora"]
    file = tmp_path / "lora" / said["file"]
    assert said == {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "scale": 0.5}
    with pytest.raises(ImindexError, match="lora"):
        make("at0.5", lora=str(file), lora_scale=1.0)
    shutil.copy(model("sd") / "vae" / "diffusion_pytorch_model.safetensors", tmp_path / "no-lora.safetensors")
    with pytest.raises(ImindexError, match=r"with the LoRA .*cannot be loaded"):
        make("no", one, lora=str(tmp_path / "no-lora.safetensors"))


def test_a_picture_is_timed_and_nothing_written(
    model: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ModelSettings(str(model("sd")), steps=2, device="cpu")
    assert 0 < measure(ASKED, settings, batch_size=4) < 10
    assert not list(tmp_path.iterdir())
