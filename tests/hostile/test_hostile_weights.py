"""Untrusted weights: a pickle with code is refused, and the code does not run."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.load import load
from tests.support.models import TINY, save_model


class Touch:
    """Creates a file when unpickled; it could run any other code."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def save_zip(touch: Touch, path: Path) -> None:
    torch.save({"state_dict": {"visual.proj": touch}}, path)


def save_legacy(touch: Touch, path: Path) -> None:
    torch.save({"state_dict": touch}, path, _use_new_zipfile_serialization=False)


def save_pickle(touch: Touch, path: Path) -> None:
    path.write_bytes(pickle.dumps(touch))


SAVE = [save_zip, save_legacy, save_pickle]


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "the code ran"


def test_trap_works(mark: Path, tmp_path: Path) -> None:
    save_zip(Touch(mark), tmp_path / "evil.pt")
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("save", SAVE)
@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors"])
def test_an_encoder(
    tiny_model: str, mark: Path, tmp_path: Path, save: Callable[[Touch, Path], None], suffix: str
) -> None:
    folder = Path(tiny_model.removeprefix("local-dir:"))
    save(Touch(mark), tmp_path / f"evil{suffix}")
    with pytest.raises(ImindexError):
        load("ViT-B-32", str(tmp_path / f"evil{suffix}"), device="cpu")
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "open_clip_model.safetensors").unlink()
    save(Touch(mark), tmp_path / "model" / "open_clip_pytorch_model.bin")
    with pytest.raises(ImindexError):
        load(f"local-dir:{tmp_path / 'model'}", device="cpu")
    assert not mark.exists()


@pytest.mark.parametrize("trusting", [False, True])
def test_text_tower_with_custom_code_is_refused(
    mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusting: bool
) -> None:
    """transformers would ask whether to run it, and here every question is answered yes: so it must not ask."""
    folder = tmp_path / "tower"
    folder.mkdir()
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\nclass Evil:\n    pass\n"
    (folder / "evil.py").write_text(code)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}})
    )
    tower = {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_model_pretrained": False}
    text = {**tower, "hf_proj_type": "mlp", "hf_pooler_type": "mean_pooler"}
    model = save_model(tmp_path / "model")
    (model / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": {**TINY, "text_cfg": text}, "preprocess_cfg": {}})
    )
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    if trusting:  # the trap works
        monkeypatch.setattr("imindex.indexer.encoders.open_clip._trust_no_code", lambda: None)
        monkeypatch.setattr("transformers.dynamic_module_utils.TIME_OUT_REMOTE_CODE", 15)
    with pytest.raises(ImindexError):
        load(f"local-dir:{model}", device="cpu")
    assert mark.exists() == trusting


@pytest.mark.parametrize("save", SAVE)
def test_a_pipeline(
    model: Callable[[str], Path],
    make: Callable[..., Any],
    mark: Path,
    tmp_path: Path,
    save: Callable[[Touch, Path], None],
) -> None:
    evil = Path(shutil.copytree(model("sd"), tmp_path / "evil copy"))
    (weights,) = (evil / "unet").glob("*.safetensors")
    weights.unlink()
    save(Touch(mark), evil / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ImindexError):
        make("out", model=str(evil))
    assert not mark.exists()


def test_pipeline_with_custom_code_is_refused(
    model: Callable[[str], Path], make: Callable[..., Any], mark: Path, tmp_path: Path
) -> None:
    evil = Path(shutil.copytree(model("sd"), tmp_path / "evil copy"))
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\nclass Evil:\n    pass\n"
    for place in (evil / "pipeline.py", evil / "unet" / "evil.py", evil / "evil.py"):
        place.write_text(code)
    index = (evil / "model_index.json").read_text()
    for changed in (
        index.replace('"StableDiffusionPipeline"', '["pipeline", "Evil"]'),
        index.replace('"UNet2DConditionModel"', '"Evil"').replace(
            '"diffusers",\n    "Evil"', '"evil",\n    "Evil"'
        ),
    ):
        assert changed != index
        (evil / "model_index.json").write_text(changed)
        with pytest.raises(ImindexError):
            make("out", model=str(evil))
    assert not mark.exists()
