"""Encoders from strangers: nothing that comes with one is run, whatever in it asks for that."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import diffusers
import open_clip
import pytest
import safetensors.torch
import torch
import transformers

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.open_clip_config import check_config
from imindex.indexer.system.foreign_code import ForeignCode, no_foreign_code
from tests.support import hostile_models
from tests.support.hostile_models import Attack
from tests.support.models import TINY


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a model's code creates. Every question at the terminal is answered yes."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "the code ran"


@pytest.mark.parametrize("attack", hostile_models.ENCODERS, ids=lambda attack: attack.name)
def test_encoder_runs_no_code_and_is_refused(attack: Attack, mark: Path, tmp_path: Path) -> None:
    model, pretrained = attack.write(tmp_path / "model", mark)
    with pytest.raises(ImindexError) as refused:
        load(model, pretrained, device="cpu")
    assert not mark.exists()
    assert model.removeprefix("local-dir:") in str(refused.value)


def test_known_class_takes_the_place_of_the_models_own(mark: Path, tmp_path: Path) -> None:
    model, _ = hostile_models.HARMLESS.write(tmp_path / "model", mark)
    assert load(model, device="cpu", precision="fp32").encode_texts(["a b"]).shape == (1, 32)
    assert not mark.exists()


@pytest.mark.parametrize(
    "attack", [attack for attack in hostile_models.ENCODERS if "trust_remote" in attack.name]
)
def test_the_traps_work(attack: Attack, mark: Path, tmp_path: Path) -> None:
    """Without imindex these models do run their code."""
    model, _ = attack.write(tmp_path / "model", mark)
    with contextlib.suppress(Exception):
        open_clip.get_tokenizer(model)
    assert mark.exists()


def test_the_trap_in_pickles_works(mark: Path, tmp_path: Path) -> None:
    hostile_models.save_zip(mark, tmp_path / "evil.pt")
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("name", open_clip.list_models())
def test_configurations_of_open_clip_pass(name: str) -> None:
    check_config(name, open_clip.get_model_config(name))


SHAPES = [
    "[1]", "3", "null", "{", "[" * 100_000, '{"model_cfg":' + "[" * 100_000, '{"model_cfg": null}', '{"model_cfg": {}}',
    '{"model_cfg": {"embed_dim": 32, "vision_cfg": {}, "text_cfg": 3}}',
    '{"model_cfg": {"embed_dim": 32, "vision_cfg": {"image_size": 32}, "text_cfg": {}}, "preprocess_cfg": 3}',
    '{"model_cfg": {"embed_dim": 32, "vision_cfg": {"layers": true}, "text_cfg": {}}}',
]  # fmt: skip


@pytest.mark.parametrize("text", SHAPES, ids=lambda text: text[:30])
def test_configuration_of_an_odd_shape_is_refused(text: str, tmp_path: Path) -> None:
    model = hostile_models.save_encoder(tmp_path / "model")
    (tmp_path / "model" / "open_clip_config.json").write_text(text)
    (tmp_path / "model.json").write_text(text)
    weights = str(tmp_path / "model" / "open_clip_model.safetensors")
    for name, pretrained in ((model, None), (str(tmp_path / "model.json"), weights)):
        with pytest.raises(ImindexError, match=re.escape(name.removeprefix("local-dir:"))):
            load(name, pretrained, device="cpu")


# What no loader may do, whatever asks for it


def evil(folder: Path, mark: Path, **config: object) -> Path:
    known = {
        **hostile_models.BERT,
        "auto_map": {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"},
    }
    tokenizer = {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    images = {"auto_map": {"AutoImageProcessor": "evil.Evil", "AutoFeatureExtractor": "evil.Evil"}}
    hostile_models.write_json(folder / "preprocessor_config.json", images)
    return hostile_models.evil_folder(folder, mark, config={**known, **config}, tokenizer=tokenizer)


@pytest.mark.parametrize(
    "kind", ["AutoConfig", "AutoModel", "AutoTokenizer", "AutoImageProcessor", "AutoFeatureExtractor"]
)
@pytest.mark.parametrize("trust", [True, None])
def test_transformers_runs_no_code(kind: str, trust: bool | None, mark: Path, tmp_path: Path) -> None:
    folder = evil(tmp_path / "evil", mark, model_type="evil")
    message = r"^The model asks to run code of its own \(transformers: .*never does"
    with pytest.raises(ForeignCode, match=message), no_foreign_code("The model"):
        getattr(transformers, kind).from_pretrained(folder, trust_remote_code=trust)
    assert not mark.exists()


def test_transformers_runs_code_outside_of_the_block(mark: Path, tmp_path: Path) -> None:
    """A notebook that uses transformers and imindex keeps what transformers does."""
    folder = evil(tmp_path / "evil", mark, model_type="evil")
    with no_foreign_code("The model"):
        pass
    with contextlib.suppress(Exception):
        transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert mark.exists()


def test_diffusers_runs_no_code(mark: Path, tmp_path: Path) -> None:
    folder = evil(tmp_path / "evil", mark)
    (folder / "pipeline.py").write_text(hostile_models.code(mark))
    hostile_models.write_json(folder / "model_index.json", {"_class_name": ["pipeline", "Pipeline"]})
    hostile_models.write_json(
        folder / "config.json", {"_class_name": "EvilModel", "auto_map": {"AutoModel": "evil.EvilModel"}}
    )
    for load_it in (
        lambda: diffusers.DiffusionPipeline.from_pretrained(folder, trust_remote_code=True),
        lambda: diffusers.DiffusionPipeline.from_pretrained(
            folder, custom_pipeline=str(folder), trust_remote_code=True
        ),
        lambda: diffusers.AutoModel.from_pretrained(folder, trust_remote_code=True),
    ):
        with pytest.raises(ForeignCode, match="diffusers: "), no_foreign_code("The model"):
            load_it()
    assert not mark.exists()


def test_kernels_torchscript_and_torch_hub_are_refused(tmp_path: Path) -> None:
    from transformers.integrations import hub_kernels

    fetch = "get_kernel" if hasattr(hub_kernels, "get_kernel") else "load_and_register_kernel"  # 5 and 4
    for what, ask in (
        ("kernel evil/kernel", lambda: getattr(hub_kernels, fetch)("evil/kernel")),
        ("torch.jit.load", lambda: torch.jit.load(str(tmp_path / "network.pt"))),
        ("torch.hub.load", lambda: torch.hub.load("evil/repo", "network")),
    ):
        with pytest.raises(ForeignCode, match=what), no_foreign_code("The model"):
            ask()


def test_torch_load_reads_tensors_only(mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile_models.save_zip(mark, tmp_path / "evil.pt")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    before = torch.load
    for arguments in ({}, {"weights_only": False}, {"weights_only": None}):
        with no_foreign_code("outer"), no_foreign_code("inner"), pytest.raises(Exception, match="eights"):
            torch.load(tmp_path / "evil.pt", **arguments)
    assert not mark.exists() and torch.load is before


def test_a_refusal_cannot_be_swallowed() -> None:
    def swallow() -> None:
        with contextlib.suppress(Exception):
            torch.jit.load("network.pt")

    with pytest.raises(ForeignCode, match="outer asks to run code of its own"), no_foreign_code("outer"):
        swallow()
    with no_foreign_code("next"):
        pass


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(KeyError, match="mine"), no_foreign_code("The model"):
        raise KeyError("mine")


# What must go on


@pytest.mark.parametrize("tower", ["text", "vision"])
def test_towers_of_transformers_and_timm_still_load(tower: str, mark: Path, tmp_path: Path) -> None:
    config = dict(TINY)
    if tower == "text":
        folder = hostile_models.evil_folder(
            tmp_path / "tower", mark, config=hostile_models.BERT, tokenizer={}
        )
        hostile_models.swapped_tokenizer(tmp_path / "model")
        config["text_cfg"] = {
            "hf_model_name": str(folder), "hf_tokenizer_name": "mine", "hf_model_pretrained": False,
            "hf_proj_type": "linear", "hf_pooler_type": "mean_pooler", "context_length": 16,
            "tokenizer_kwargs": {"clean": "canonicalize", "strip_sep_token": False},
        }  # fmt: skip
    else:
        config["vision_cfg"] = {"timm_model_name": "resnet10t", "image_size": 32}
    network = (open_clip.CustomTextCLIP if tower == "text" else open_clip.CLIP)(**config)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    hostile_models.write_json(
        tmp_path / "model" / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": {}}
    )
    safetensors.torch.save_file(weights, tmp_path / "model" / "open_clip_model.safetensors")
    encoder = load(f"local-dir:{tmp_path / 'model'}", device="cpu", precision="fp32")
    assert encoder.encode_texts(["a b", "c"]).shape == (2, 32) and len(encoder.info.tokens_sha256) == 64
    assert encoder.encode_images(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 32)
    assert not mark.exists()
