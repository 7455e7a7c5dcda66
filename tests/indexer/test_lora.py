"""LoRAs: one of which only a part fits is refused with counts, and a missing peft is said before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate import pipeline as generate_pipeline
from imindex.indexer.generate.generate import ModelSettings, check
from tests.support.generating import ASKED, maker

RANK = 2
NEEDS_PEFT = "a LoRA needs peft: pip install 'imindex[lora]'"


@pytest.fixture
def make(model: Callable, tmp_path: Path) -> Callable:
    return maker(model, tmp_path)


def layers(folder: Path, *ends: str) -> dict[str, tuple[int, int]]:
    """Return the linear layers of a UNet or transformer that end so, with their shapes (out, in)."""
    part = "transformer" if (folder / "transformer").exists() else "unet"
    weights = safetensors.torch.load_file(folder / part / "diffusion_pytorch_model.safetensors")
    found = {
        f"{part}.{name.removesuffix('.weight')}": tuple(tensor.shape)
        for name, tensor in weights.items()
        if name.removesuffix(".weight").endswith(ends) and name.endswith(".weight")
    }
    assert found
    return found  # type: ignore[return-value]


def lora(path: Path, shapes: dict[str, tuple[int, int]], form: str = "peft") -> Path:
    torch.manual_seed(1)
    tensors = {}
    first, second = {"peft": ("lora_A", "lora_B"), "diffusers": ("lora.down", "lora.up")}[form]
    for name, (out, into) in shapes.items():
        tensors[f"{name}.{first}.weight"] = torch.randn(RANK, into)
        tensors[f"{name}.{second}.weight"] = torch.randn(out, RANK)
    safetensors.torch.save_file(tensors, path)
    return path


def whole(model: Callable, kind: str) -> dict[str, tuple[int, int]]:
    return layers(model(kind), "to_q", "to_v")


@pytest.mark.parametrize("kind", ["sd", "sdxl", "sd3"])
@pytest.mark.parametrize("form", ["peft", "diffusers"])
def test_a_lora_that_fits_wholly_is_used(
    make: Callable, model: Callable, tmp_path: Path, kind: str, form: str
) -> None:
    pytest.importorskip("peft", reason=NEEDS_PEFT)
    file = lora(tmp_path / "whole.safetensors", whole(model, kind), form)
    assert make("out", ASKED[:1], kind=kind, lora=str(file)).made == 1


def changed(model: Callable, kind: str, change: str) -> tuple[dict[str, tuple[int, int]], int]:
    """Return the layers of a LoRA that fits only in part, and how many of its tensors fit."""
    shapes = whole(model, kind)
    first, (out, into) = next(iter(shapes.items()))
    n = 2 * len(shapes)
    if change == "a layer that does not exist":
        return {**shapes, f"{first.rpartition('.')[0]}.to_z": (out, into)}, n
    if change == "deeper blocks":
        more = {
            name.replace("blocks.0", "blocks.7"): shape
            for name, shape in shapes.items()
            if "blocks.0" in name
        }
        return {**shapes, **more}, n
    if change == "another text encoder":
        return {**shapes, "text_encoder_9.text_model.encoder.layers.0.self_attn.q_proj": (16, 16)}, n
    if change == "a wider input":
        return {**shapes, first: (out, into + 8)}, n - 1
    if change == "a wider output":
        return {**shapes, first: (out + 8, into)}, n - 1
    if change == "all of another width":
        return {name: (shape[0] * 2, shape[1] * 2) for name, shape in shapes.items()}, 0
    assert change == "nothing"
    return {name.replace("to_", "from_"): shape for name, shape in shapes.items()}, 0


CHANGES = (
    "a layer that does not exist", "deeper blocks", "another text encoder", "a wider input", "a wider output",
    "all of another width", "nothing",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["sd", "sdxl", "sd3"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_lora_of_which_only_a_part_fits_is_refused_with_counts(
    make: Callable, model: Callable, tmp_path: Path, kind: str, change: str
) -> None:
    pytest.importorskip("peft", reason=NEEDS_PEFT)
    shapes, fit = changed(model, kind, change)
    file = lora(tmp_path / "part.safetensors", shapes)
    said = rf"part\.safetensors was made for another model: {fit} of {2 * len(shapes)} tensors fit\."
    with pytest.raises(ImindexError, match=said):
        make("out", ASKED[:1], kind=kind, lora=str(file))
    assert not list((tmp_path / "out").glob("**/*.png"))


def test_the_lora_of_another_model_is_refused(make: Callable, model: Callable, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason=NEEDS_PEFT)
    file = lora(tmp_path / "xl.safetensors", whole(model, "sdxl"))
    with pytest.raises(ImindexError, match=r"was made for another model: \d+ of \d+ tensors fit"):
        make("out", ASKED[:1], kind="sd", lora=str(file))


@pytest.mark.parametrize(("available", "said"), [(False, "not installed"), (True, "newer peft")])
def test_a_missing_peft_is_said_before_anything_is_loaded(
    make: Callable,
    model: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    available: bool,
    said: str,
) -> None:
    monkeypatch.setattr("diffusers.utils.is_peft_available", lambda: available)
    monkeypatch.setattr("diffusers.utils.USE_PEFT_BACKEND", False)
    monkeypatch.setattr(generate_pipeline, "_load", None)
    file = lora(tmp_path / "whole.safetensors", whole(model, "sd"))
    with pytest.raises(ImindexError, match=rf"{said}.*pip install 'imindex\[lora\]'"):
        make("out", ASKED[:1], lora=str(file))
    with pytest.raises(ImindexError, match=said):
        check(ModelSettings(str(model("sd")), lora=str(file), device="cpu"))
