"""The back end for transformers: vectors equal to the library's own, and refusals."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from PIL import Image

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.preprocess import decode
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.image_processor import preprocess_of
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.precision import PRECISIONS
from imindex.indexer.encoders.registry import differences, knows
from imindex.indexer.encoders.transformers import FAMILIES, _vector_settings
from imindex.indexer.store.index import Index, recompute_root_digest
from tests.support.commands import run
from tests.support.hostile_models import write_json
from tests.support.pictures import encoded, picture
from tests.support.places import ROOT
from tests.support.vision_towers import (
    CONVNEXT,
    TOWERS,
    load_own,
    own_vector,
    processor,
    randomize,
    save,
    save_dual,
    save_tower,
    unit,
)

PICTURES = {
    "wide jpeg": encoded(picture(1, (200, 160)), "JPEG", quality=92),
    "tall png": encoded(picture(2, (61, 90)), "PNG"),
    "small png": encoded(picture(3, (23, 31)), "PNG"),
}
"""Files whose sides give odd margins, even ones, and one that is enlarged."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("towers")
    return {kind: save_tower(base / kind, kind) for kind in TOWERS}


@pytest.fixture(scope="module")
def duals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("duals")
    return {kind: save_dual(base / kind, kind) for kind in ("clip", "siglip")}


def vectors(encoder: Encoder) -> dict[str, np.ndarray]:
    """Return the vectors of `PICTURES`, prepared as a build prepares them."""
    pixels = torch.stack([decode(data, encoder.preprocess).pixels for data in PICTURES.values()])
    found = encoder.encode_images(pixels).astype(np.float64)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=2e-3)
    return dict(zip(PICTURES, found, strict=True))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", TOWERS)
def test_vectors_equal_the_librarys_own(kind: str, precision: str, folders: dict[str, Path]) -> None:
    encoder = load(f"transformers:{folders[kind]}", device="cpu", precision=precision, color="as-encoded")
    found = vectors(encoder)
    for name, data in PICTURES.items():
        own = own_vector(folders[kind], kind, Image.open(io.BytesIO(data)), PRECISIONS[precision])
        assert cosine(found[name], own) >= 0.9999, name
    first, second, _ = found.values()
    assert cosine(first, second) < 0.99  # the weights tell pictures apart
    assert not encoder.has_text and encoder.info.config["pooling"] == FAMILIES[kind].pooling


def test_dinov2_is_cropped_with_odd_margins(folders: dict[str, Path]) -> None:
    """The offset that torchvision takes shifts the picture by one pixel, and the vector shows it."""
    encoder = load(f"transformers:{folders['dinov2']}", device="cpu", precision="fp32", color="as-encoded")
    assert (encoder.preprocess.resize_to, encoder.preprocess.size) == (39, (32, 32))
    data = PICTURES["wide jpeg"]
    image = Image.open(io.BytesIO(data))
    own = own_vector(folders["dinov2"], "dinov2", image, torch.float32)
    shifted = decode(data, replace(encoder.preprocess, crop_floor=False)).pixels
    assert cosine(encoder.encode_images(shifted[None])[0].astype(float), own) < 0.9999


SIZES = {
    "beit": ("48", {"size": {"height": 48, "width": 48}}),
    "clip_vision_model": ("48", {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}}),
    "deit": ("48", {"size": {"height": 56, "width": 56}, "crop_size": {"height": 48, "width": 48}}),
    "dinov2_with_registers": (
        "48",
        {"size": {"shortest_edge": 58}, "crop_size": {"height": 48, "width": 48}},
    ),
    "dinov3_vit": ("40x56", {"size": {"height": 40, "width": 56}}),
    "siglip_vision_model": ("40x24", {"size": {"height": 40, "width": 24}}),
    "swin": ("48", {"size": {"height": 48, "width": 48}}),
    "vit": ("24x40", {"size": {"height": 24, "width": 40}}),
}
"""The option, and what the library's processor is told."""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", SIZES)
def test_positions_are_interpolated_as_the_library_does(
    kind: str, precision: str, folders: dict[str, Path]
) -> None:
    size, told = SIZES[kind]
    options = {"device": "cpu", "precision": precision, "color": "as-encoded"}
    encoder = load(f"transformers:{folders[kind]}?size={size}", **options)
    told = {**told, **({"interpolate_pos_encoding": True} if FAMILIES[kind].positions == "flag" else {})}
    found = vectors(encoder)
    for name, data in PICTURES.items():
        own = own_vector(folders[kind], kind, Image.open(io.BytesIO(data)), PRECISIONS[precision], **told)
        assert cosine(found[name], own) >= 0.9999, name
    plain = load(f"transformers:{folders[kind]}", **options)
    assert any(cosine(found[name], other) < 0.999 for name, other in vectors(plain).items())
    assert encoder.info.identity() != plain.info.identity() and encoder.info.model.endswith(f"?size={size}")


@pytest.mark.parametrize(
    "kind", ["dinov2_with_registers", "dinov3_vit", "deit", "clip_vision_model", "convnext"]
)
def test_other_poolings_are_what_they_are_named(kind: str, folders: dict[str, Path]) -> None:
    network = load_own(folders[kind], TOWERS[kind].network.removesuffix("WithProjection"), torch.float32)
    data = PICTURES["wide jpeg"]
    image = Image.open(io.BytesIO(data)).convert("RGB")
    with torch.inference_mode():
        output = network(**processor(folders[kind])(images=image, return_tensors="pt"))
    hidden = output.last_hidden_state
    registers = getattr(network.config, "num_register_tokens", 0)
    prefix = registers + (2 if kind == "deit" else 1)
    expected = {
        "cls": hidden[:, 0],
        "mean": hidden.mean((2, 3)) if hidden.ndim == 4 else hidden[:, prefix:].mean(1),
        "pooler": output.pooler_output,
    }
    for pooling in set(FAMILIES[kind].poolings) - {"projection"}:
        encoder = load(
            f"transformers:{folders[kind]}?pooling={pooling}",
            device="cpu",
            precision="fp32",
            color="as-encoded",
        )
        found = encoder.encode_images(decode(data, encoder.preprocess).pixels[None])[0].astype(float)
        assert cosine(found, unit(expected[pooling])) >= 0.9999, pooling
        assert encoder.info.config["pooling"] == pooling and not encoder.has_text


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_models_of_two_towers_encode_texts(kind: str, precision: str, duals: dict[str, Path]) -> None:
    folder, dtype = duals[kind], PRECISIONS[precision]
    encoder = load(f"transformers:{folder}", device="cpu", precision=precision, color="as-encoded")
    assert encoder.has_text and len(encoder.info.tokens_sha256) == 64
    network = load_own(folder, {"clip": "CLIPModel", "siglip": "SiglipModel"}[kind], dtype)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = ["a painting by ada", "bo", "quick " * 30]
    tokens = tokenizer(texts, padding="max_length", max_length=20, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        for name, data in PICTURES.items():
            image = Image.open(io.BytesIO(data)).convert("RGB")
            pixels = processor(folder)(images=image, return_tensors="pt")["pixel_values"].to(dtype)
            output = network(pixel_values=pixels, **tokens)
            assert cosine(vectors(encoder)[name], unit(output.image_embeds)) >= 0.9999, name
    found = encoder.encode_texts(texts).astype(float)
    own = torch.nn.functional.normalize(output.text_embeds.float(), dim=-1).numpy()
    assert all(cosine(a, b) >= 0.9999 for a, b in zip(found, own, strict=True))
    assert cosine(found[0], found[1]) < 0.99
    counted = encoder.tokens(texts)
    assert counted is not None and counted.limit == 20 and counted.n_cut == 1
    assert counted.needed == tuple(len(tokenizer(text)["input_ids"]) for text in texts)
    assert counted.read == tuple(map(tuple, tokens["input_ids"].tolist()))
    only = load(f"transformers:{folder}?pooling=mean", device="cpu")
    assert only.tokens(texts) is None
    assert not only.has_text and "text_config" not in only.info.config["model"]
    with pytest.raises(ImindexError, match=r"has no text side"):
        only.encode_texts(texts)


def test_a_model_of_two_towers_without_a_tokenizer_encodes_pictures_only(
    duals: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(duals["clip"], tmp_path / "clip")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "clip" / file).unlink()
    encoder = load(f"transformers:{tmp_path / 'clip'}", device="cpu")
    assert not encoder.has_text and not encoder.info.tokens_sha256


def test_digest_and_configuration_are_those_of_the_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    """Files, shards and the head of a classifier do not matter; another weight does."""
    folder = shutil.copytree(folders["vit"], tmp_path / "vit")
    plain = load(f"transformers:{folders['vit']}", device="cpu", precision="fp32").info
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    kept = {name: tensor for name, tensor in tensors.items() if "classifier" not in name}
    assert len(kept) == len(tensors) - 2
    halves = {"a.safetensors": sorted(kept)[::2], "b.safetensors": sorted(kept)[1::2]}
    for file, names in halves.items():
        safetensors.torch.save_file({name: kept[name] for name in names}, folder / file)
    listed = {name: file for file, names in halves.items() for name in names}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": listed})
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "id2label": {"0": "cat"}, "transformers_version": "4.0"})
    other = load(f"transformers:{folder}", device="cpu", precision="fp32").info
    assert other.identity() == plain.identity() and other.model != plain.model
    assert str(tmp_path) not in json.dumps(other.identity())
    kept["vit.layernorm.bias"][0] += 1
    safetensors.torch.save_file(
        {name: kept[name] for name in halves["a.safetensors"]}, folder / "a.safetensors"
    )
    safetensors.torch.save_file(
        {name: kept[name] for name in halves["b.safetensors"]}, folder / "b.safetensors"
    )
    changed = load(f"transformers:{folder}", device="cpu", precision="fp32").info
    assert [line.partition(" ")[0] for line in differences(plain, changed)] == ["weights"]
    write_json(folder / "config.json", {**config, "layer_norm_eps": 1e-3})
    assert "model " in " ".join(
        differences(changed, load(f"transformers:{folder}", device="cpu", precision="fp32").info)
    )


def test_the_stride_of_the_output_is_part_of_the_identity(tmp_path: Path) -> None:
    found = []
    for stride in (32, 8):
        config = transformers.MobileNetV2Config(depth_multiplier=0.25, output_stride=stride)
        network = transformers.MobileNetV2Model(config, add_pooling_layer=False)
        randomize(network, 0)
        folder = save(tmp_path / str(stride), network, CONVNEXT)
        found.append(load(f"transformers:{folder}?pooling=mean", device="cpu", precision="fp32"))
    one, other = found
    assert one.info.weights_sha256 == other.info.weights_sha256
    pixels = torch.randint(0, 256, (1, 3, *one.preprocess.size), dtype=torch.uint8)
    assert not np.array_equal(one.encode_images(pixels), other.encode_images(pixels))
    assert one.info.identity() != other.info.identity()


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({"output_attentions": True, "output_hidden_states": True, "output_scores": False, "use_cache": True}, []),
        ({"hidden_dropout_prob": 0.1, "dropout": 0.1, "drop_path_rate": 0.1, "out_features": ["stage1"]}, []),
        ({"output_stride": 8, "output_hidden_size": 32, "token_dropout": True}, None),
        ({"backbone_config": {"out_features": ["stage3"], "out_indices": [3], "stage_names": ["stem"]}}, None),
    ],
)  # fmt: skip
def test_only_keys_that_change_no_vector_are_left_out(
    config: dict[str, object], kept: list[str] | None
) -> None:
    settings = _vector_settings(config, text=True)
    assert settings == config if kept is None else list(settings) == kept


def test_a_type_without_an_entry_needs_a_choice_of_pooling(tmp_path: Path) -> None:
    settings = {
        "embedding_size": 16,
        "hidden_sizes": [16, 32],
        "depths": [1, 1],
        "groups_width": 8,
        "layer_type": "x",
    }
    network = transformers.RegNetModel(transformers.RegNetConfig(**settings))
    randomize(network, 0)
    folder = save(tmp_path / "regnet", network, CONVNEXT)
    with pytest.raises(
        ImindexError, match=r"type regnet, and imindex does not know .*pooling=cls.*mean.*pooler"
    ):
        load(f"transformers:{folder}", device="cpu")
    encoder = load(
        f"transformers:{folder}?pooling=pooler", device="cpu", precision="fp32", color="as-encoded"
    )
    data = PICTURES["wide jpeg"]
    image = Image.open(io.BytesIO(data)).convert("RGB")
    with torch.inference_mode():
        output = network(**processor(folder)(images=image, return_tensors="pt"))
    found = encoder.encode_images(decode(data, encoder.preprocess).pixels[None])[0].astype(float)
    assert cosine(found, unit(output.pooler_output.flatten(1))) >= 0.9999


def test_a_pooler_that_the_file_does_not_have_is_refused(folders: dict[str, Path]) -> None:
    message = r"vit lacks weights: its configuration describes \d+,\d+ of them, and the file has .*random.*another \?p"
    with pytest.raises(ImindexError, match=message):
        load(f"transformers:{folders['vit']}?pooling=pooler", device="cpu")


def edited(file: str, **changes: object) -> Callable[[Path], None]:
    """Return a function that changes keys of a JSON file of a folder; None removes one."""

    def edit(folder: Path) -> None:
        content = {**json.loads((folder / file).read_text()), **changes}
        write_json(folder / file, {key: value for key, value in content.items() if value is not None})

    return edit


def without(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def reweighted(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        change(tensors)
        safetensors.torch.save_file(tensors, folder / "model.safetensors")

    return edit


def pickled(folder: Path) -> None:
    torch.save(safetensors.torch.load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def outside(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"a": "../elsewhere.safetensors"}})


CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no configuration": (without(CONFIG), r"has no config\.json"),
    "configuration of a list": (lambda folder: write_json(folder / CONFIG, [1]), "is not a JSON object"),
    "repeated key": (lambda folder: (folder / CONFIG).write_text('{"a": 1, "a": 2}') and None, "repeats the key 'a'"),
    "code": (edited(CONFIG, auto_map={"AutoModel": "evil.Model"}), r"brings code of its own \(auto_map\)"),
    "quantized": (edited(CONFIG, quantization_config={"quant_method": "gptq"}), "is quantized"),
    "kernel": (edited(CONFIG, attn_implementation="evil/kernel"), "may be a compiled kernel"),
    "backbone": (edited(CONFIG, backbone="evil/model"), "names a further model as its backbone"),
    "no type": (edited(CONFIG, model_type=None), "has the model_type None"),
    "type of a language model": (edited(CONFIG, model_type="llama"), "type llama, which is no image encoder"),
    "invented type": (edited(CONFIG, model_type="evil"), "type evil, which is no image encoder"),
    "NaFlex": (edited(CONFIG, model_type="siglip2"), "NaFlex.*whose model_type is siglip"),
    "timm": (edited(CONFIG, model_type="timm_wrapper"), "Use --model timm:NAME"),
    "huge width": (edited(CONFIG, hidden_size=1 << 40), r"hidden_size 1099511627776, not a number from 0 to 32,768"),
    "many layers": (edited(CONFIG, num_hidden_layers=10**6), "num_hidden_layers 1000000, not a number"),
    "layers of text": (edited(CONFIG, num_hidden_layers="2"), "num_hidden_layers '2', not a number"),
    "wider than its weights": (edited(CONFIG, hidden_size=30_000, intermediate_size=200_000), "lacks weights"),
    "other heads": (edited(CONFIG, num_attention_heads=5), r"transformers refuses|do not fit"),
    "narrower than its weights": (edited(CONFIG, mlp_ratio=2), r"do not fit its config"),
    "one weight missing": (reweighted(lambda w: w.pop("layernorm.bias")), r"lacks weights.*random"),
    "one weight renamed": (
        reweighted(lambda w: w.__setitem__("layernorm.bios", w.pop("layernorm.bias"))),
        r"1 are missing \(layernorm\.bias\), 1 have no place \(layernorm\.bios\), 0 have another shape",
    ),
    "one weight more": (reweighted(lambda w: w.__setitem__("evil", torch.zeros(2))), r"1 have no place \(evil\)"),
    "pickled weights": (pickled, r"safetensors only\. Save the model again"),
    "no weights": (without("model.safetensors"), r"has no model\.safetensors"),
    "weights elsewhere": (outside, r"lists '\.\./elsewhere\.safetensors', which is not a file of its folder"),
    "damaged weights": (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99) and None, "read as safe"),
    "no preprocessing": (without(PROCESSOR), r"not say how pictures are prepared: there is no preprocessor_config"),
    "processor's code": (edited(PROCESSOR, auto_map={"AutoImageProcessor": "evil.P"}), r"code of its own \(auto_map"),
    "unknown processor": (edited(PROCESSOR, image_processor_type="EvilProcessor"), "of the class 'EvilProcessor'"),
    "padding": (edited(PROCESSOR, do_pad=True), "has the step do_pad, which imindex cannot do"),
    "no resizing": (edited(PROCESSOR, do_resize=False), "does not resize pictures"),
    "no crop": (edited(PROCESSOR, do_center_crop=False), "size .*which gives pictures of different sizes"),
    "longest edge": (edited(PROCESSOR, size={"shortest_edge": 32, "longest_edge": 64}), "pictures of different sizes"),
    "lanczos": (edited(PROCESSOR, resample=1), r"filter 1; imindex has bilinear \(2\) and bicubic \(3\)"),
    "not rescaled": (edited(PROCESSOR, do_rescale=False), "scales pixels by nothing, not by 1/255"),
    "rescaled to -1..1": (edited(PROCESSOR, rescale_factor=1 / 127.5), r"scales pixels by 0\.0078\d+, not by 1/255"),
    "mean of one number": (edited(PROCESSOR, image_mean=[0.5]), "mean .*not three numbers"),
    "huge picture": (edited(PROCESSOR, crop_size=5000, size={"shortest_edge": 5000}), "size .*not one or two whole"),
    "crop larger than the picture": (edited(PROCESSOR, crop_size=40), "resize_to 39, not a whole number from the lon"),
    "size of text": (edited(PROCESSOR, size="32"), "size '32', not whole numbers"),
}  # fmt: skip
"""Changes to the folder of a DINOv2, and the message."""


@pytest.mark.parametrize("name", REFUSED)
def test_folders_that_cannot_be_used_are_refused(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    change, message = REFUSED[name]
    folder = shutil.copytree(folders["dinov2"], tmp_path / "model")
    change(folder)
    with pytest.raises(ImindexError, match=message) as refused:
        load(f"transformers:{folder}", device="cpu")
    assert len(str(refused.value)) < 900


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("?pooling=max", "there is no pooling max. Use one of cls, mean, pooler, projection"),
        ("?pooling=projection", r"type vit, which has no pooling projection\. Use one of cls, mean, pooler"),
        ("?layer=3", "the option layer is unknown.*pooling, size"),
        ("?size=20", r"size is 20\. Write multiples of its patches, 8 pixels"),
        ("?size=x", "size is 'x'|size is ''"),
        ("?size=8x8x8", "Write a side or HEIGHTxWIDTH"),
        ("?size=4096", r"size is 4,?096\. Write a whole number from 1 to 2,048"),
        ("?size=-8", "Write a whole number from 1"),
    ],
)
def test_options_that_do_not_apply_are_refused(options: str, message: str, folders: dict[str, Path]) -> None:
    with pytest.raises(ImindexError, match=message):
        load(f"transformers:{folders['vit']}{options}", device="cpu")


def test_names_that_lead_nowhere_are_refused(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    for name, message in (
        ("transformers", r"names no model\. Give transformers:FOLDER or transformers:ORG/REPO"),
        ("transformers:", "names no model"),
        ("transformers:/no/such folder", "there is no folder /no/such folder"),
        (
            "transformers:no-org/no-model",
            r"there is no folder .* cannot be fetched from the Hugging Face hub: .*copy the repository to a folder",
        ),
    ):
        with pytest.raises(ImindexError, match=message):
            load(name, device="cpu")
    with pytest.raises(ImindexError, match=r"--pretrained x has no place beside --model transformers:"):
        load(f"transformers:{folders['vit']}", "x", device="cpu")
    assert not knows(f"transformers:{folders['vit']}", None) and not knows("transformers:org/repo", None)


def test_a_picture_size_other_than_that_of_the_positions_needs_a_choice(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["vit"], tmp_path / "model")
    edited(PROCESSOR, size={"height": 48, "width": 48})(folder)
    with pytest.raises(ImindexError, match=r"made for pictures of 32 x 32, and its .* 48 x 48.*\?size=48x48"):
        load(f"transformers:{folder}", device="cpu")
    assert load(f"transformers:{folder}?size=48x48", device="cpu").preprocess.size == (48, 48)


def test_older_and_newer_files_of_preprocessing_say_the_same() -> None:
    """Sizes as numbers, classes of other names, and the processor's file of transformers 5."""
    new = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
    }
    old = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "resample": 3}
    assert preprocess_of(new, "m") == preprocess_of(old, "m")
    assert preprocess_of(new, "m").as_dict() == {
        "size": [224, 224], "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0, "crop_floor": True,
    }  # fmt: skip
    vit = preprocess_of({"size": 224}, "m", "ViTImageProcessor")
    assert (vit.resize_mode, vit.interpolation, vit.mean) == ("squash", "bilinear", (0.5,) * 3)
    fast = {
        "image_processor_type": "ViTImageProcessorFast",
        "do_normalize": False,
        "size": {"height": 9, "width": 7},
    }
    assert preprocess_of(fast, "m").std == (1.0,) * 3 and preprocess_of(fast, "m").size == (9, 7)
    deit = preprocess_of({"image_processor_type": "DeiTImageProcessor"}, "m")
    assert (deit.resize_mode, deit.resize_to, deit.size) == ("squash", 256, (224, 224))
    for size, expected in ((224, (256, "shortest")), (384, (None, "squash"))):
        convnext = preprocess_of(
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": size}}, "m"
        )
        assert (convnext.resize_to, convnext.resize_mode, convnext.size) == (*expected, (size, size))


def test_the_page_lists_the_types_of_models() -> None:
    page = (ROOT / "docs" / "encoders-published.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    listed = {row[0]: (row[1], row[2]) for row in rows if row[0] in FAMILIES}
    assert listed == {kind: (family.pooling, family.source) for kind, family in FAMILIES.items()}
    assert set(TOWERS) | {"clip", "siglip"} == set(FAMILIES)  # each is tested


@pytest.mark.parametrize("kind", ["dinov2", "clip"])
def test_commands_work_with_it(
    kind: str, folders: dict[str, Path], duals: dict[str, Path], works: Callable[..., Path], tmp_path: Path
) -> None:
    """Build, query, match and, with a text tower, classification by name."""
    art = works({"works/ada": 3, "works/bo": 3, "imitations/r1/ada": 3, "imitations/r1/bo": 3})
    model = f"transformers:{folders[kind] if kind == 'dinov2' else duals[kind]}"
    index = tmp_path / "i.h5"
    run("build", art, "-i", index, "--model", model, "--device", "cpu")
    with Index(index) as opened:
        assert recompute_root_digest(opened) == opened.root_digest
        assert opened.encoder.config["backend"] == "transformers" and opened.n == 12
    found = json.loads(run("query", art / "works" / "ada" / "001.png", "-i", index, "-k", 2, "--json").stdout)
    best = found["queries"][0]["kinds"]["works"]["pictures"][0]
    assert best["artist"] == "ada" and best["cosine"] == pytest.approx(1, abs=2e-3)
    assert {one["artist"] for one in json.loads(run("match", "-i", index, "--json").stdout)["artists"]} == {
        "ada",
        "bo",
    }
    assert json.loads(run("classify", "--by", "works", "-i", index, "--json").stdout)["methods"]
    if kind == "clip":
        named = json.loads(run("classify", "--by", "name", "-i", index, "--json", "--device", "cpu").stdout)
        assert named["methods"]
        run("query", "--text", "ada", "-i", index, "--device", "cpu")
    else:
        refused = run("classify", "--by", "name", "-i", index, "--device", "cpu", code=1).output
        assert "has no text side" in " ".join(refused.split())
        assert "0 faults" in run("doctor", "-i", index, "--device", "cpu").output
