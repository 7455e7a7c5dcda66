"""CSD and MegaStyle-Encoder: vectors equal to the authors' forward pass, and files that are not theirs are refused."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from PIL import Image
from torch import nn
from torchvision import transforms

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.preprocess import decode
from imindex.indexer.encoders import megastyle
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.precision import PRECISIONS
from imindex.indexer.encoders.registry import knows
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.pictures import encoded, picture
from tests.support.sscd_models import save_script
from tests.support.vision_towers import randomize, unit

PICTURES = [encoded(picture(1, (200, 160)), "JPEG", quality=92), encoded(picture(2, (61, 90)), "PNG")]
WIDTH, SIDE, PATCH = 128, 32, 8


class AuthorsBlock(nn.Module):
    """As `ResidualAttentionBlock` of OpenAI's clip/model.py."""

    def __init__(self, width: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, width * 4))
        self.mlp.add_module("c_proj", nn.Linear(width * 4, width))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        y = self.mlp.c_fc(self.ln_2(x))
        return x + self.mlp.c_proj(y * torch.sigmoid(1.702 * y))


class AuthorsTower(nn.Module):
    """As `VisionTransformer` of OpenAI's clip/model.py, without its projection."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn((SIDE // PATCH) ** 2 + 1, WIDTH))
        self.ln_pre = nn.LayerNorm(WIDTH)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(*(AuthorsBlock(WIDTH) for _ in range(3)))
        self.ln_post = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        x = x.reshape(x.shape[0], x.shape[1], -1).permute(0, 2, 1)
        start = self.class_embedding + torch.zeros(x.shape[0], 1, x.shape[-1], dtype=x.dtype)
        x = self.ln_pre(torch.cat([start, x], dim=1) + self.positional_embedding)
        x = self.transformer.resblocks(x.permute(1, 0, 2)).permute(1, 0, 2)
        return self.ln_post(x[:, 0, :])


class AuthorsCsd(nn.Module):
    """As `CSD_CLIP` of learn2hash/CSD: a tower and two matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = AuthorsTower()
        self.last_layer_style = nn.Parameter(torch.randn(WIDTH, 48))
        self.last_layer_content = nn.Parameter(torch.randn(WIDTH, 40))

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        feature = self.backbone(pictures)
        return {
            "backbone": feature,
            "content": nn.functional.normalize(feature @ self.last_layer_content, dim=1, p=2),
            "style": nn.functional.normalize(feature @ self.last_layer_style, dim=1, p=2),
        }


CLIP = transforms.Compose(
    [
        transforms.Resize(size=SIDE, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(SIDE),
        transforms.ToTensor(),
        transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ]
)
"""The authors' transform, at the size of this small tower."""


@pytest.fixture(scope="module")
def authors() -> AuthorsCsd:
    network = AuthorsCsd()
    randomize(network, 0)
    return network.eval()


def checkpoint(state: dict[str, torch.Tensor], path: Path, **more: object) -> Path:
    """Write a checkpoint of a training, with what the published one holds beside the weights."""
    content: dict[str, object] = {
        "model_state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        "opt_bb": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": np.float64(1e-4)}]},
        "opt_proj": None,
        "iter": 80_000,
        "args": argparse.Namespace(arch="vit_large", lam=np.float32(0.2)),
        "fp16_scaler": None,
        **more,
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def csd_file(tmp_path_factory: pytest.TempPathFactory, authors: AuthorsCsd) -> Path:
    return checkpoint(authors.state_dict(), tmp_path_factory.mktemp("csd") / "checkpoint.pth")


def vector(encoder: Any, data: bytes) -> np.ndarray:
    return encoder.encode_images(decode(data, encoder.preprocess).pixels[None])[0].astype(float)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("head", ["style", "content", "backbone"])
def test_csd_equals_the_authors_forward_pass(
    head: str, precision: str, csd_file: Path, authors: AuthorsCsd
) -> None:
    model = "csd" if head == "style" else f"csd?head={head}"
    encoder = load(model, str(csd_file), device="cpu", precision=precision, color="as-encoded")
    reference = AuthorsCsd()
    reference.load_state_dict(authors.state_dict())
    reference.to(PRECISIONS[precision]).eval()
    found = [vector(encoder, data) for data in PICTURES]
    for ours, data in zip(found, PICTURES, strict=True):
        pixels = CLIP(Image.open(io.BytesIO(data)).convert("RGB"))[None].to(PRECISIONS[precision])
        with torch.inference_mode():
            outputs = {name: unit(output) for name, output in reference(pixels).items()}
        assert cosine(ours, outputs[head]) >= 0.9999
        assert all(len(output) != len(ours) for name, output in outputs.items() if name != head)
    assert cosine(*found) < 0.98
    assert not encoder.has_text and encoder.info.config["pooling"] == f"class token, {head}"


def test_csd_records_its_file_and_its_weights(csd_file: Path, authors: AuthorsCsd, tmp_path: Path) -> None:
    """The same weights in another file are the same encoder; the digest of the file tells them apart."""
    info = load("csd", str(csd_file), device="cpu", precision="fp32").info
    assert info.pretrained_sha256 == hashlib.sha256(csd_file.read_bytes()).hexdigest()
    assert str(csd_file.parent) not in json.dumps(info.identity()) and info.model == "csd" and info.dim == 48
    safetensors.torch.save_file(authors.state_dict(), tmp_path / "csd.safetensors")
    torch.save({name: tensor.half() for name, tensor in authors.state_dict().items()}, tmp_path / "half.pth")
    same = load("csd", str(tmp_path / "csd.safetensors"), device="cpu", precision="fp32").info
    assert same.identity() == info.identity() and same.pretrained_sha256 != info.pretrained_sha256
    half = load("csd", str(tmp_path / "half.pth"), device="cpu", precision="fp32").info
    assert half.weights_sha256 != info.weights_sha256
    assert not knows("csd", str(csd_file))


def changed(state: dict[str, torch.Tensor], **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    named = {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in {**state, **named}.items() if tensor is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone__ln_post__bias": None}, r"1 are missing \(backbone\.ln_post\.bias\), 0 have no place"),
        ({"backbone__proj": torch.zeros(WIDTH, 9)}, r"1 have no place \(backbone\.proj\)"),
        ({"backbone__ln_pre__bias": torch.zeros(3)}, r"1 have another shape \(backbone\.ln_pre\.bias\)"),
        ({"last_layer_style": None}, r"matrix last_layer_style is missing or of another shape \(none\)"),
        ({"last_layer_style": torch.zeros(3, 4)}, r"of another shape \(one of the shape \(3, 4\)\)"),
        ({"visual__proj": torch.zeros(2)}, r"1 tensors have no place \(visual\.proj\)"),
        ({"backbone__conv1__weight": None}, "its tower has other tensors"),
        ({"backbone__positional_embedding": torch.zeros(19, WIDTH)}, "its tower has other tensors"),
    ],
)
def test_csd_refuses_other_weights(
    changes: dict[str, torch.Tensor | None], message: str, authors: AuthorsCsd, tmp_path: Path
) -> None:
    path = checkpoint(changed(authors.state_dict(), **changes), tmp_path / "other.pth")
    with pytest.raises(ImindexError, match=f"another network than CSD's: .*{message}"):
        load("csd", str(path), device="cpu")


def test_csd_takes_a_content_head_of_another_form_for_style_only(authors: AuthorsCsd, tmp_path: Path) -> None:
    changes = {"last_layer_content": None, "last_layer_content__fc__weight": torch.zeros(4, 4)}
    path = checkpoint(changed(authors.state_dict(), **changes), tmp_path / "custom.pth")
    assert load("csd", str(path), device="cpu").dim == 48
    with pytest.raises(ImindexError, match="matrix last_layer_content is missing"):
        load("csd?head=content", str(path), device="cpu")


def test_files_of_other_kinds_are_refused(authors: AuthorsCsd, tmp_path: Path) -> None:
    script = save_script(nn.Linear(2, 2), tmp_path / "script.pt")
    evil = checkpoint(authors.state_dict(), tmp_path / "evil.pth", args=Path("/tmp"))
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("csd", "megastyle"):
        for file, message in (
            (script, "is a TorchScript archive"),
            (evil, r"the name pathlib\.\w+, which is not on the list of those that hold tensors"),
            (tmp_path / "text.pth", "no zip archive"),
        ):
            with pytest.raises(ImindexError, match=message):
                load(name, str(file), device="cpu")
        with pytest.raises(
            ImindexError, match=f"--model {name} needs a file of weights\\. Download it from https"
        ):
            load(name, device="cpu")
        with pytest.raises(ImindexError, match="needs a file of weights, and /no/file is none"):
            load(name, "/no/file", device="cpu")
        with pytest.raises(ImindexError, match="has one model"):
            load(f"{name}:large", str(script), device="cpu")
    with pytest.raises(ImindexError, match="there is no head colour"):
        load("csd?head=colour", str(script), device="cpu")
    with pytest.raises(ImindexError, match="takes no options"):
        load("megastyle?head=style", str(script), device="cpu")


def test_an_index_records_the_file_and_is_matched(
    csd_file: Path, works: Callable[..., Path], tmp_path: Path
) -> None:
    art = works({"works/ada": 2, "works/bo": 2, "imitations/r1/ada": 2, "imitations/r1/bo": 2})
    index = tmp_path / "i.h5"
    said = run("build", art, "-i", index, "--model", "csd", "--pretrained", csd_file, "--device", "cpu")
    digest = hashlib.sha256(csd_file.read_bytes()).hexdigest()
    with Index(index) as opened:
        assert opened.encoder.pretrained_sha256 == digest
        assert f"SHA-256 {digest}, and its weights {opened.encoder.weights_sha256}" in " ".join(
            said.stderr.split()
        )
    assert json.loads(run("info", "-i", index, "--json").stdout)["encoder"]["pretrained-sha256"] == digest
    assert len(json.loads(run("match", "-i", index, "--json").stdout)["artists"]) == 2


SMALL = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "image_size": 32, "patch_size": 7}  # fmt: skip
"""As in the published model, the picture is no multiple of the patch."""


@pytest.fixture
def siglip(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(megastyle, "ARCHITECTURE", SMALL)
    network = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**SMALL))
    randomize(network, 0)
    return network.eval()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("form", ["model", "plain", "older names", "safetensors"])
def test_megastyle_equals_the_authors_script(form: str, precision: str, siglip: Any, tmp_path: Path) -> None:
    """`style_score.py`: SigLIP's processor, and the normalised pooler_output."""
    state = {name.removeprefix("vision_model."): tensor for name, tensor in siglip.state_dict().items()}
    file = tmp_path / ("encoder.safetensors" if form == "safetensors" else "encoder.pth")
    if form == "safetensors":
        safetensors.torch.save_file(state, file)
    elif form == "plain":
        torch.save(state, file)
    else:
        names = (
            {f"vision_model.{name}": tensor for name, tensor in state.items()} if form != "model" else state
        )
        torch.save({"model": {**names, "logit_scale": torch.tensor(1.0)}, "epoch": 3}, file)
    encoder = load("megastyle", str(file), device="cpu", precision=precision, color="as-encoded")
    image = {"height": 32, "width": 32}
    name = (
        "SiglipImageProcessorPil"
        if hasattr(transformers, "SiglipImageProcessorPil")
        else "SiglipImageProcessor"
    )
    processor = getattr(transformers, name)(size=image, image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=3)
    network = siglip.to(PRECISIONS[precision])
    for data in PICTURES:
        inputs = processor(images=[Image.open(io.BytesIO(data)).convert("RGB")], return_tensors="pt")
        with torch.inference_mode():
            own = unit(network(pixel_values=inputs["pixel_values"].to(PRECISIONS[precision])).pooler_output)
        assert cosine(vector(encoder, data), own) >= 0.9999
    assert cosine(*(vector(encoder, data) for data in PICTURES)) < 0.98
    assert encoder.info.pretrained_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_megastyle_refuses_other_weights(siglip: Any, tmp_path: Path) -> None:
    state = dict(siglip.state_dict())
    name = next(name for name in state if name.endswith("post_layernorm.bias"))
    for content, message in (
        (
            {key: tensor for key, tensor in state.items() if key != name},
            r"lacks weights: .*What|lacks weights: .*random",
        ),
        ({**state, "head.evil": torch.zeros(1)}, r"0 are missing, 1 have no place \(head\.evil\)"),
        (
            {f"module.{key}": tensor for key, tensor in state.items()},
            "holds no tensors of a SigLIP image tower",
        ),
        ({**state, name: torch.zeros(3), "head.more": torch.zeros(90)}, r"do not fit|have another shape"),
    ):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ImindexError, match=message):
            load("megastyle", str(tmp_path / "other.pth"), device="cpu")


def test_the_published_sizes() -> None:
    """What google/siglip-so400m-patch14-384 has, and the preprocessing of its processor."""
    assert megastyle.ARCHITECTURE["hidden_size"] / megastyle.ARCHITECTURE["num_attention_heads"] == 72
    with torch.device("meta"):
        network = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**megastyle.ARCHITECTURE))
    assert sum(weight.numel() for weight in network.parameters()) == 428_225_600
