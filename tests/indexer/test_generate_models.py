"""Generation under adverse conditions: a full disk, and missing, incomplete or unsafe models."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from PIL import Image

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.generate import ModelSettings, check, describe, generate, measure, missing
from tests.support.generating import ASKED, files, lines, pixels
from tests.support.pipelines import SIZE

pytestmark = pytest.mark.usefixtures("one_thread", "loaded_once")


# The disk


def test_a_full_disk_is_detected_in_advance(
    make: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for free, said in ((100, "Free space, request fewer"), (2 * SIZE * SIZE * len(ASKED), "")):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path, free=free: shutil._ntuple_diskusage(free, 0, free)
        )  # type: ignore[attr-defined]
        if said:
            with pytest.raises(ImindexError, match=said):
                make("full")
            assert not list((tmp_path / "full").rglob("*.png"))
        else:
            assert "GiB are free" in make("full").notes[0]


def test_full_disk_loses_no_data(make: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save, written = Image.Image.save, []

    def fill(self: Image.Image, file: IO[bytes], **how: Any) -> None:
        written.append(file)
        if len(written) > 5:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, file, **how)

    monkeypatch.setattr(Image.Image, "save", fill)
    with pytest.raises(ImindexError, match=r"is full.*same command again"):
        make("disk")
    assert len(missing(ASKED, tmp_path / "disk")) == len(ASKED) - 5
    monkeypatch.undo()
    assert make("disk").made == len(ASKED) - 5
    make("whole")
    assert files(tmp_path / "disk") == files(tmp_path / "whole")


# Missing, incomplete and different models


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no/such/folder", "does not exist.*save_pretrained"), ("word", "does not exist"), (".", "no model_index.json"),
        ("file.safetensors", "is a file.*from_single_file"),
        ("nobody/nothing", "cannot be downloaded.*path of a folder"),
    ],
)  # fmt: skip
def test_missing_models_are_refused(
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
        ({"_class_name": "FancyPipeline"}, {}, "does not have"),
        ({"_class_name": ["x", "Y"]}, {}, "contains its own code"),
        ({"_class_name": "LatentConsistencyModelPipeline"}, {"negative_prompt": "x"}, "takes no negative_prompt"),
        ({}, {"scheduler": "EulerDiscreteSchedular"}, "Did you mean EulerDiscreteScheduler"),
        ({}, {"scheduler": "DPMSolverSDEScheduler"}, "does not draw its noise from a picture's seed"),
        ({}, {"scheduler": "UNet2DConditionModel"}, "no scheduler"),
        ({}, {"revision": "main"}, "has no revisions"),
        ({}, {"device": "cuda:77"}, "CUDA devices"), ({}, {"device": "tpu"}, "unknown"),
        ({}, {"offload": "model"}, "for GPUs"),
        ({}, {"lora": "nobody/nothing"}, "LoRA nobody/nothing is not a local file"),
        ({}, {"lora": "."}, "has .* LoRA weights files"),
    ],
)  # fmt: skip
def test_unsupported_models_and_settings_are_refused_before_loading(
    change: dict, settings: dict, said: str, model: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    folder = damaged(shutil.copytree(model("sd"), tmp_path / "copy"), change)
    with pytest.raises(ImindexError, match=said):
        describe(ModelSettings(**{"model": folder, "device": "cpu", **settings}))


def test_invalid_settings_are_refused() -> None:
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


def test_a_size_that_the_pipeline_rejects_is_a_readable_error(make: Callable) -> None:
    with pytest.raises(ImindexError, match=r"rejects these settings.*Change them"):
        make("odd", size="33")


def test_code_shipped_with_a_model_is_not_run(model: Callable, tmp_path: Path) -> None:
    copy = shutil.copytree(model("sd"), tmp_path / "copy")
    (copy / "unet" / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n")
    damaged(copy, {"unet": ["mine", "Mine"]})
    for act in (check, lambda m: generate(ASKED, tmp_path / "out", m)):
        with pytest.raises(ImindexError, match="contains its own code for unet"):
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
    with pytest.raises(ImindexError, match=r"unet has no safetensors weights"):
        check(settings)
    with pytest.raises(ImindexError, match="cannot be loaded"):
        generate(ASKED, tmp_path / "out", settings)
    assert not (tmp_path / "ran").exists()


def test_an_incomplete_model_is_detected_in_advance(model: Callable, tmp_path: Path) -> None:
    check(ModelSettings(str(model("sd-checked")), device="cpu"))
    copy = shutil.copytree(model("sd"), tmp_path / "copy")
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ImindexError, match=r"vae.*missing or truncated"):
        check(ModelSettings(str(copy), device="cpu"))
    shutil.rmtree(copy / "vae")
    with pytest.raises(ImindexError, match="has no vae"):
        check(ModelSettings(str(copy), device="cpu"))


def test_weights_that_exist_only_in_fp16_are_found(make: Callable, model: Callable, tmp_path: Path) -> None:
    copy = shutil.copytree(model("sd"), tmp_path / "sd")
    for file in copy.rglob("*.safetensors"):
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    check(ModelSettings(str(copy), device="cpu"))
    make("variant", ASKED[:1], model=str(copy))
    make("plain", ASKED[:1])
    assert (pixels(tmp_path / "variant", ASKED[0]) == pixels(tmp_path / "plain", ASKED[0])).all()


def test_lora_weights_act_in_proportion_to_their_scale(
    make: Callable, model: Callable, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft", reason="a LoRA needs peft: pip install 'imindex[lora]'")
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


def test_a_picture_is_timed_without_writing_files(
    model: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ModelSettings(str(model("sd")), steps=2, device="cpu")
    assert 0 < measure(ASKED, settings, batch_size=4) < 10
    assert not list(tmp_path.iterdir())
