"""The image tower of an open_clip model alone: the vectors of the full model to the bit, and no text side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.open_clip import registered_name
from imindex.indexer.encoders.registry import differences, knows, require_same
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.models import encoder_arguments, named_as_planned
from imindex.retrieval.audit.plan import read_plan
from tests.support.commands import run
from tests.support.models import TINY, save_model
from tests.support.pictures import picture

LOAD = {"device": "cpu", "precision": "fp32"}
SIGLIP = {**TINY, "custom_text": True, "init_logit_bias": -10}
COCA = {
    **TINY,
    "vision_cfg": {
        **TINY["vision_cfg"],
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "output_tokens": True,
    },
    "text_cfg": {**TINY["text_cfg"], "embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    "custom_text": True,
}
TIMM = {
    "embed_dim": 32,
    "vision_cfg": {
        "timm_model_name": "resnet10t",
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 32,
    },
    "text_cfg": TINY["text_cfg"],
}
NETWORKS = {"clip": TINY, "quick": {**TINY, "quick_gelu": True}, "siglip": SIGLIP, "coca": COCA, "timm": TIMM}


def pixels(n: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(picture(i, (32, 32))).transpose(2, 0, 1) for i in range(n)]))


def save(folder: Path, config: dict, seed: int = 4) -> Path:
    """Write any of open_clip's networks with random weights as a `local-dir`, as `save_model` writes a CLIP."""
    folder.mkdir()
    settings = {"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    torch.manual_seed(seed)
    network = open_clip.create_model(f"local-dir:{folder}")
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(state, folder / "open_clip_model.safetensors")
    return folder


def image_part(folder: Path, target: Path, suffix: str = ".safetensors") -> Path:
    """Write the configuration and the image tower alone to a folder."""
    target.mkdir()
    (target / "open_clip_config.json").write_text((folder / "open_clip_config.json").read_text())
    state = safetensors.torch.load_file(folder / "open_clip_model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if name.startswith("visual.")}
    file = target / f"open_clip_model{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(kept, file)
    else:
        torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in kept.items()}}, file)
    return target


@pytest.mark.parametrize("kind", NETWORKS)
def test_vectors_are_those_of_the_full_model_to_the_bit(kind: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "full", NETWORKS[kind])
    full = load(f"local-dir:{folder}", **LOAD)
    image = load(f"local-dir:{folder}?tower=image", **LOAD)
    for suffix in (".safetensors", ".bin"):
        alone = load(f"local-dir:{image_part(folder, tmp_path / suffix[1:], suffix)}", **LOAD)
        assert alone.info.identity() == image.info.identity()
        assert not alone.has_text and (alone.encode_images(pixels()) == full.encode_images(pixels())).all()
    assert (image.encode_images(pixels()) == full.encode_images(pixels())).all()
    theirs, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.no_grad():
        expected = theirs.eval().encode_image(full.prepare(pixels())).numpy()
    mine = image.encode_images(pixels()).astype(float)
    norms = np.linalg.norm(mine, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((mine * expected).sum(1) / norms).min() >= 0.9999
    assert full.has_text and not image.has_text and image.info.tokens_sha256 == ""
    assert {name.partition(".")[0] for name in image.model.state_dict()} == {"visual"}
    assert [name for name, _ in image.model.named_children()] == ["visual"]
    with pytest.raises(ImindexError, match="no text side"):
        image.encode_texts(["a"])


def test_the_identity_says_what_differs(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "full", seed=1)
    full = load(f"local-dir:{folder}", **LOAD)
    image = load(f"local-dir:{folder}?tower=image", **LOAD)
    assert image.info.model == f"local-dir:{folder}?tower=image"
    assert "tower" not in full.info.config and image.info.config["tower"] == "image"
    assert "text_cfg" not in image.info.config
    found = "; ".join(differences(full.info, image.info))
    assert "tower both against image" in found and "weights" in found
    # another text tower beside the same image tower is the same image-only encoder; another image tower is not
    state = safetensors.torch.load_file(folder / "open_clip_model.safetensors")
    state["token_embedding.weight"] = state["token_embedding.weight"] + 1
    other = save_model(tmp_path / "other", seed=2)
    safetensors.torch.save_file(state, other / "open_clip_model.safetensors")
    require_same(image.info, load(f"local-dir:{other}?tower=image", **LOAD).info)
    third = save_model(tmp_path / "third", seed=3)
    assert "weights" in "; ".join(
        differences(image.info, load(f"local-dir:{third}?tower=image", **LOAD).info)
    )
    require_same(image.info, load_as(image.info, trust=True, device="cpu").info)


def test_names_with_the_option(tmp_path: Path) -> None:
    assert knows("demo?tower=image", None) and knows("ViT-B/32?tower=image", "openai")
    assert not knows("local-dir:x?tower=image", None)
    demo = load("demo?tower=image", **LOAD)
    assert demo.info.model == "demo?tower=image" and not demo.has_text
    full = load("demo", **LOAD)
    shown = torch.randint(
        0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    assert (demo.encode_images(shown) == full.encode_images(shown)).all()
    assert load("demo?tower=both", **LOAD).info.identity() == full.info.identity()
    with pytest.raises(ImindexError, match="tower=text is not one of both, image"):
        load("demo?tower=text", **LOAD)
    with pytest.raises(ImindexError, match="option pooling is unknown"):
        load("demo?pooling=avg", **LOAD)
    config = tmp_path / "model.json"
    config.write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    weights = save_model(tmp_path / "weights") / "open_clip_model.safetensors"
    by_json = load(f"{config}?tower=image", str(weights), **LOAD)
    assert by_json.info.model == f"{config}?tower=image" and not by_json.has_text
    odd = save_model(tmp_path / "what?")  # a question mark without options belongs to the name
    require_same(
        load(f"local-dir:{odd}", **LOAD).info,
        load(f"local-dir:{save_model(tmp_path / 'plain')}", **LOAD).info,
    )
    assert not load(f"local-dir:{odd}?tower=image", **LOAD).has_text


def test_a_plan_finds_its_models_with_the_option(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    for model, expected in (
        ("model.json?tower=image", f"{tmp_path}/model.json?tower=image"),
        ("local-dir:clip?tower=image", f"local-dir:{tmp_path}/clip?tower=image"),
        ("ViT-B/32?tower=image", "ViT-B/32?tower=image"),
    ):
        run("audit", "init", plan, "--model", model, "--force")
        read = read_plan(plan)
        assert encoder_arguments(read, read.encoders[0])["model"] == expected
        recorded = registered_name(expected)
        info = EncoderInfo(recorded, "", "0" * 64, {}, {}, 3, "fp32")
        assert named_as_planned(read, read.encoders[0], info)
        assert not named_as_planned(read, read.encoders[0], replace(info, model=recorded.partition("?")[0]))


def test_a_text_tower_of_transformers_is_not_even_looked_up(tmp_path: Path) -> None:
    config = {**TINY, "text_cfg": {"hf_model_name": "nobody/nothing", "hf_tokenizer_name": "nobody/nothing"}}
    part = image_part(save_model(tmp_path / "full"), tmp_path / "image")
    settings = {"model_cfg": config, "preprocess_cfg": {}}
    (part / "open_clip_config.json").write_text(json.dumps(settings))
    alone = load(f"local-dir:{part}", **LOAD)
    expected = load(f"local-dir:{tmp_path / 'full'}", **LOAD).encode_images(pixels())
    assert (alone.encode_images(pixels()) == expected).all()


def test_damaged_image_towers_are_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "full")
    state = safetensors.torch.load_file(folder / "open_clip_model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if name.startswith("visual.")}
    missing = {name: tensor for name, tensor in kept.items() if name != "visual.proj"}
    surplus = {**kept, "visual.extra": torch.zeros(2)}
    shaped = {**kept, "visual.proj": torch.zeros(2, 2)}
    for tensors, message in (
        (missing, r"the weights lack visual\.proj"), (surplus, r"no visual\.extra"), (shaped, "size mismatch"),
    ):  # fmt: skip
        safetensors.torch.save_file(tensors, folder / "open_clip_model.safetensors")
        for model in (f"local-dir:{folder}", f"local-dir:{folder}?tower=image"):
            with pytest.raises(ImindexError, match=message):
                load(model, **LOAD)
    safetensors.torch.save_file(
        {name: tensor for name, tensor in state.items() if not name.startswith("visual.")},
        folder / "open_clip_model.safetensors",
    )
    with pytest.raises(ImindexError, match="the weights lack visual"):
        load(f"local-dir:{folder}?tower=image", **LOAD)


def test_an_index_by_the_image_tower(tmp_path: Path) -> None:
    for number in range(4):
        file = tmp_path / "pictures" / "works" / f"Artist {number % 2}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(number, (64, 64)).save(file)
    common = ["--device", "cpu", "--precision", "fp32"]
    full, image = tmp_path / "full.h5", tmp_path / "image.h5"
    run("build", tmp_path / "pictures", "-i", full, "--model", "demo", *common)
    run("build", tmp_path / "pictures", "-i", image, "--model", "demo?tower=image", *common)
    with Index(full) as a, Index(image) as b:
        assert np.array_equal(np.asarray(a.vectors), np.asarray(b.vectors))
        assert a.root_digest != b.root_digest and b.encoder.text_probe == ""
    more = tmp_path / "pictures" / "works" / "Artist 1" / "more.png"
    picture(9, (64, 64)).save(more)
    assert "Encoded 1 picture" in run("build", tmp_path / "pictures", "-i", image, "--device", "cpu").stdout
    refused = run("build", tmp_path / "pictures", "-i", full, "--model", "demo?tower=image", *common, code=1)
    assert "tower both against image" in " ".join(refused.stderr.split())
    refused = run("query", "--text", "a picture", "-i", image, code=1)
    assert "no text side" in " ".join(refused.stderr.split())
    assert imindex.open(image).query(more, k=1, encoder={"device": "cpu"}) is not None
