"""The timm back end, against timm's own transform and forward pass; weights that do not fit, and hostile folders."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import timm
import timm.data
import torch
from PIL import Image
from timm.models._hub import save_for_hf

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.preprocess import Preprocess, decode
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.registry import knows
from imindex.indexer.encoders.timm import POOLINGS, preprocessing, published
from imindex.indexer.encoders.torch_encoder import weights_digest
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.hostile_models import PICKLES
from tests.support.timm_folders import DATA, SMALL, save

PICTURES = ((90, 90), (150, 80), (70, 133), (64, 64))
"""Width and height."""
WAYS: list[dict[str, Any]] = [
    {},
    {"crop_pct": 0.9},
    {"crop_pct": 0.875, "interpolation": "bilinear"},
    {"crop_mode": "squash"},
    {"crop_mode": "squash", "crop_pct": 0.9},
    {"crop_mode": "border", "mean": [0.5, 0.5, 0.5]},
]


def files() -> list[bytes]:
    """Pictures with structure at several scales, as PNG and JPEG."""
    noise = np.random.default_rng(5)
    found = []
    for kind in ("PNG", "JPEG"):
        for width, height in PICTURES:
            coarse = Image.fromarray(noise.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
                (width, height)
            )
            pixels = np.asarray(coarse).astype(int) + noise.integers(-30, 31, (height, width, 3))
            buffer = io.BytesIO()
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, kind, quality=95)
            found.append(buffer.getvalue())
    return found


FILES = files()


def theirs(model: torch.nn.Module, data: dict[str, Any], precision: str = "fp32") -> npt.NDArray[np.float64]:
    """The normalised features that timm computes of the pictures by its transform and its network."""
    transform = timm.data.create_transform(**data, is_training=False)
    pixels = torch.stack([transform(Image.open(io.BytesIO(one)).convert("RGB")) for one in FILES])
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    with torch.inference_mode():
        features = model.to(dtype)(pixels.to(dtype)).double().numpy()
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def ours(encoder: Encoder) -> npt.NDArray[np.float64]:
    """The vectors of the pictures, as a build computes them."""
    pixels = torch.stack([decode(one, encoder.preprocess).pixels for one in FILES])
    return encoder.encode_images(pixels).astype(np.float64)


def agree(mine: npt.NDArray[np.float64], timms: npt.NDArray[np.float64]) -> None:
    """Check every cosine, and that the cosines between pictures are far smaller, so that the check can fail."""
    cosines = mine @ timms.T / np.linalg.norm(mine, axis=1, keepdims=True)
    assert cosines.diagonal().min() >= 0.9999, cosines.diagonal()
    others = cosines[~np.eye(len(cosines), dtype=bool)]
    assert others.min() < 0.99, others.min()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a small network, which is written once."""
    root = tmp_path_factory.mktemp("networks")

    def folder(architecture: str, **data: Any) -> Path:
        name = "-".join([architecture, *(str(value) for value in data.values())]).replace("/", "_")
        return root / name if (root / name).exists() else save(root / name, architecture, data=data)

    return folder


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("architecture", SMALL)
def test_vectors_are_those_of_timm(architecture: str, precision: str, folders: Callable[..., Path]) -> None:
    folder = folders(architecture, crop_pct=0.9)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    data = timm.data.resolve_model_data_config(model)
    encoder = load(f"timm:local-dir:{folder}", device="cpu", precision=precision)
    assert encoder.info.weights_sha256 == weights_digest(model)
    assert encoder.dim == model.num_features and not encoder.has_text
    assert encoder.info.config["architecture"] == architecture and encoder.info.config["backend"] == "timm"
    agree(ours(encoder), theirs(model, data, precision))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())) or "plain")
@pytest.mark.parametrize("size", [(64, 64), (96, 64), (48, 80)])
def test_pictures_are_prepared_as_timm_does(way: dict[str, Any], size: tuple[int, int]) -> None:
    data = {**DATA, **way, "input_size": (3, *size)}
    preprocess = preprocessing("timm:x", data, size)
    assert Preprocess.from_dict(preprocess.as_dict()) == preprocess
    transform = timm.data.create_transform(**data, is_training=False)
    mean, std = (torch.tensor(data[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    for one in FILES:
        expected = transform(Image.open(io.BytesIO(one))) * std + mean
        got = decode(one, preprocess).pixels
        assert got.shape == expected.shape == (3, *size)
        off = (got.float() - expected * 255).abs()
        assert (
            off > 1.01
        ).float().mean() < 0.02 and off.mean() < 0.6  # JPEG decoders and rounding differ a little


# Sizes and poolings


@pytest.mark.parametrize("architecture", SMALL)
def test_other_sizes_and_rectangles(architecture: str, folders: Callable[..., Path]) -> None:
    """Position embeddings are interpolated as timm does, where a network has any."""
    folder = folders(architecture, crop_pct=0.9)
    patch = 14 if "14" in architecture else 16
    size = (5 * patch, 3 * patch)
    resized = {"img_size": size} if "img_size" in SMALL[architecture] else {}
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0, **resized).eval()
    data = {**timm.data.resolve_model_data_config(model), "input_size": (3, *size)}
    encoder = load(f"timm:local-dir:{folder}?size={size[0]}x{size[1]}", device="cpu", precision="fp32")
    assert encoder.preprocess.size == size
    agree(ours(encoder), theirs(model, data))


@pytest.mark.parametrize(
    ("architecture", "pooling", "pooled"),
    [
        ("vit_small_patch14_reg4_dinov2", "token", lambda x, n: x[:, 0]),
        ("vit_small_patch14_reg4_dinov2", "avg", lambda x, n: x[:, n:].mean(1)),
        ("vit_small_patch14_reg4_dinov2", "max", lambda x, n: x[:, n:].amax(1)),
        ("vit_small_patch14_reg4_dinov2", "avgmax", lambda x, n: (x[:, n:].amax(1) + x[:, n:].mean(1)) / 2),
        ("vit_small_patch16_dinov3", "token", lambda x, n: x[:, 0]),
        ("vit_small_patch16_dinov3", "avg", lambda x, n: x[:, n:].mean(1)),
        ("vit_base_patch16_siglip_224", "avg", lambda x, n: x.mean(1)),
        ("vit_pe_core_tiny_patch16_384", "avg", lambda x, n: x[:, n:].mean(1)),
        ("convnext_atto", "max", lambda x, n: x.amax((2, 3))),
        ("resnet18", "max", lambda x, n: x.amax((2, 3))),
        ("resnet18", "catavgmax", lambda x, n: torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)),
    ],
)
def test_poolings_are_what_they_say(
    architecture: str, pooling: str, pooled: Callable[[torch.Tensor, int], torch.Tensor],
    folders: Callable[..., Path],
) -> None:  # fmt: skip
    """Against the arithmetic: the class token, or the mean or maximum over the patches alone."""
    folder = folders(architecture, crop_pct=0.9)
    model: Any = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    data = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**data, is_training=False)
    pixels = torch.stack([transform(Image.open(io.BytesIO(one))) for one in FILES])
    with torch.inference_mode():
        expected = pooled(model.forward_features(pixels), getattr(model, "num_prefix_tokens", 0))
        if architecture == "convnext_atto":
            expected = model.head.norm(expected[..., None, None])[..., 0, 0]
        if architecture in ("vit_small_patch16_dinov3", "vit_pe_core_tiny_patch16_384"):
            expected = model.fc_norm(expected)
    encoder = load(f"timm:local-dir:{folder}?pooling={pooling}", device="cpu", precision="fp32")
    assert encoder.info.config["pooling"] == pooling and encoder.dim == expected.shape[1]
    vectors = expected.double().numpy()
    agree(ours(encoder), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_the_pooling_is_part_of_the_identity_and_its_default_is_not_another(
    folders: Callable[..., Path],
) -> None:
    folder = folders("vit_small_patch14_reg4_dinov2", crop_pct=0.9)
    plain, token, avg = (
        load(f"timm:local-dir:{folder}{option}", device="cpu", precision="fp32").info
        for option in ("", "?pooling=token", "?pooling=avg")
    )
    assert plain.identity() == token.identity() and plain.weights_sha256 == avg.weights_sha256
    assert plain.mismatch(avg) == ["pooling token against avg"]


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("hiera_tiny_224", {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 1, 1)}),
        (
            "hieradet_small",
            {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 1, 1), "global_att_blocks": ()},
        ),
        ("test_vit", {}),
        ("test_convnext", {}),
        ("test_resnet", {}),
        ("test_mambaout", {}),
        ("swin_tiny_patch4_window7_224", {"embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2)}),
    ],
)
def test_another_pooling_that_changes_vectors_changes_the_identity(
    architecture: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model: Any = timm.create_model(architecture, **arguments).eval()
    side = model.pretrained_cfg["input_size"][1]
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, side, side), **DATA}
    save_for_hf(model, tmp_path, model_args=arguments, safe_serialization=True)
    pixels = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    encoders = {}
    for pooling in (None, *POOLINGS):
        option = f"?pooling={pooling}" if pooling else ""
        try:
            encoders[pooling] = load(f"timm:local-dir:{tmp_path}{option}", device="cpu", precision="fp32")
        except ImindexError as error:
            assert pooling and f"cannot pool by {pooling}" in str(error)
    assert len(encoders) > 2
    vectors = {pooling: encoder.encode_images(pixels) for pooling, encoder in encoders.items()}
    for one, other in itertools.combinations(encoders, 2):
        same = np.array_equal(vectors[one], vectors[other])
        assert same == (encoders[one].info.identity() == encoders[other].info.identity()), (one, other)


@pytest.mark.parametrize(
    ("architecture", "option", "message"),
    [
        ("vit_small_patch14_reg4_dinov2", "pooling=mean", rf"'mean', not one of {', '.join(POOLINGS)}"),
        ("vit_small_patch14_reg4_dinov2", "pooling=map", "cannot pool by map: .* By default it pools by token"),
        ("vit_base_patch16_siglip_224", "pooling=token", "cannot pool by token: it has no class token"),
        ("resnet18", "pooling=token", "cannot pool by token: it has no class token"),
        ("resnet18", "pooling=map", "cannot pool by map"),
        ("vit_small_patch14_reg4_dinov2", "size=60", r"patches of 14x14 pixels, and 60x60 is no .* size=56x56\."),
        ("vit_small_patch14_reg4_dinov2", "size=14x0", "'14x0', not one side or HEIGHTxWIDTH, each from 1 to 2048"),
        ("vit_small_patch14_reg4_dinov2", "size=2800", "'2800', not one side or HEIGHTxWIDTH"),
        ("vit_small_patch14_reg4_dinov2", "size=large", "'large', not one side or"),
        ("vit_small_patch14_reg4_dinov2", "layer=3", r"option layer is unknown\. .* are pooling, size\."),
    ],
)  # fmt: skip
def test_options_that_do_not_apply(
    architecture: str, option: str, message: str, folders: Callable[..., Path]
) -> None:
    with pytest.raises(ImindexError, match=message):
        load(f"timm:local-dir:{folders(architecture, crop_pct=0.9)}?{option}", device="cpu")


# Names and files


@pytest.fixture(scope="module")
def vit_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of test_vit, timm's smallest published transformer, with its classifier; they are random."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("files") / "test_vit.safetensors"
    safetensors.torch.save_file(timm.create_model("test_vit").state_dict(), path)
    return path


def changed(source: Path, target: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    """Write other weights."""
    state = safetensors.torch.load_file(source)
    change(state)
    if target.suffix == ".safetensors":
        safetensors.torch.save_file(state, target)
    else:
        torch.save(state, target)
    return target


def test_a_file_of_weights_takes_what_its_published_tags_state(vit_file: Path) -> None:
    model = timm.create_model("test_vit", num_classes=0).eval()
    state = safetensors.torch.load_file(vit_file)
    model.load_state_dict({key: value for key, value in state.items() if not key.startswith("head.")})
    encoder = load("timm:test_vit", str(vit_file), device="cpu", precision="fp32")
    assert encoder.info.preprocess_from == "the only published tag of test_vit: r160_in1k"
    assert (encoder.info.model, encoder.info.pretrained) == ("timm:test_vit", str(vit_file))
    agree(ours(encoder), theirs(model, timm.data.resolve_model_data_config(model)))
    named = load("timm:test_vit.r160_in1k", str(vit_file), device="cpu", precision="fp32")
    assert named.info.identity() == encoder.info.identity() and named.info.preprocess_from == ""
    chosen = load("timm:test_vit", str(vit_file), device="cpu", precision="fp32",
                  preprocess_from="vit_base_patch16_siglip_224:v2_webli")  # fmt: skip
    assert (chosen.preprocess.size, chosen.preprocess.mean) == ((224, 224), (0.5,) * 3)
    assert chosen.info.preprocess_from == "the tag v2_webli of vit_base_patch16_siglip_224, as chosen"
    again = load_as(chosen.info, model="timm:test_vit", pretrained=str(vit_file), device="cpu")
    assert again.info == chosen.info  # what an index records decides


def test_published_weights_that_differ_ask_for_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(timm.create_model("resnet18", num_classes=0).state_dict(), path)
    tags = published("resnet18")
    assert len(set(tags.values())) > 1
    with pytest.raises(
        ImindexError, match=r"the 7 published weights of resnet18 differ: .*crop_pct 0\.95.*--prepro"
    ):
        load("timm:resnet18", str(path), device="cpu")
    for tag in ("a1_in1k", "tv_in1k"):
        ways = [
            load("timm:resnet18", str(path), device="cpu", precision="fp32", preprocess_from=tag),
            load(f"timm:resnet18.{tag}", str(path), device="cpu", precision="fp32"),
        ]
        assert ways[0].info.identity() == ways[1].info.identity()
        config = timm.models.get_pretrained_cfg(f"resnet18.{tag}").to_dict()
        assert ways[0].preprocess.interpolation == config["interpolation"]
        assert ways[0].preprocess.resize_to == int(config["input_size"][1] / config["crop_pct"])
    for model, pretrained in (("timm:resnet18.a1_in1k", str(path)), ("timm:resnet18.a1_in1k", None)):
        with pytest.raises(
            ImindexError, match="--preprocess-from tv_in1k has no place beside the tag a1_in1k of"
        ):
            load(model, pretrained, device="cpu", preprocess_from="tv_in1k")


def test_every_published_preprocessing_can_be_said() -> None:
    """All but three networks, which resize pictures to less than their input."""
    refused = []
    for name in timm.list_pretrained():
        settings = timm.data.resolve_data_config(
            pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict()
        )
        try:
            preprocess = preprocessing(name, settings, settings["input_size"][1:])
        except ImindexError:
            refused.append(name)
            continue
        assert Preprocess.from_dict(preprocess.as_dict()) == preprocess
    assert all(name.startswith("volo_d") for name in refused) and len(refused) <= 3


def wrapped(state: dict[str, torch.Tensor]) -> None:
    inner = {f"module.{key}": state.pop(key) for key in list(state)}
    state.update({"state_dict": inner, "epoch": 3})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("w.pth", lambda state: None),
        ("w.pth", wrapped),
        ("w.safetensors", lambda state: state.pop("head.bias")),
        ("w.safetensors", lambda state: [state.pop("head.bias"), state.pop("head.weight")]),
    ],
)
def test_other_forms_of_the_same_weights(
    name: str, change: Callable[[Any], Any], vit_file: Path, tmp_path: Path
) -> None:
    infos = [
        load("timm:test_vit", str(path), device="cpu", precision="fp32").info
        for path in (vit_file, changed(vit_file, tmp_path / name, change))
    ]
    assert infos[0].identity() == infos[1].identity()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("norm.weight"), r"1 of \d+ weights are missing \(norm\.weight\)\. Name the network"),
        (lambda s: s.update(extra=torch.ones(3)), r"does not fit test_vit\.r160_in1k: 1 are unexpected \(extra\)\."),
        (lambda s: s.update({"head.scale": torch.ones(3)}), r"1 are unexpected \(head\.scale\)"),
        (lambda s: s.update({"head2.weight": torch.ones(3)}), r"1 are unexpected \(head2\.weight\)"),
        (lambda s: s.update({"norm.bias": torch.ones(3)}), r"1 have another shape \(norm\.bias \(3,\) for \(64,\)\)"),
        (lambda s: [s.pop(k) for k in list(s) if "blocks.1" in k], r"12 of \d+ weights are missing \(\S+, \S+, \S+, "),
        (lambda s: [s.pop(k) for k in list(s) if not k.startswith("head")], "does not fit test_vit"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_with_their_number(
    change: Callable[[Any], Any], message: str, vit_file: Path, tmp_path: Path
) -> None:
    path = changed(vit_file, tmp_path / "w.safetensors", change)
    with pytest.raises(ImindexError, match=message):
        load("timm:test_vit", str(path), device="cpu")


def test_weights_of_another_network_are_refused(vit_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ImindexError, match=r"does not fit test_resnet.*weights are missing.*are unexpected"):
        load("timm:test_resnet", str(vit_file), device="cpu")


@pytest.mark.parametrize("save_pickle", PICKLES)
def test_no_code_of_a_file_is_run(save_pickle: Callable[[Path, Path], None], tmp_path: Path) -> None:
    mark, path = tmp_path / "the code ran", tmp_path / "w.pth"
    save_pickle(mark, path)
    with pytest.raises(
        ImindexError, match=r"w\.pth (holds Python objects beside tensors|cannot be read as weights)"
    ):
        load("timm:test_vit", str(path), device="cpu")
    assert not mark.exists()


def test_torchscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(
        ImindexError, match="TorchScript archive, which holds code, and imindex never runs it"
    ):
        load("timm:test_vit", str(path), device="cpu")


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("timm:resnet81", None, r"timm:resnet81 is not a network that timm knows\. Did you mean timm:resnet18"),
        ("timm", None, "timm: is not a network that timm knows"),
        ("timm:", None, "is not a network that timm knows"),
        ("timm:resnet18.nope", None, r"no published weights nope: it has a1_in1k, .*--model timm:resnet18\.TAG"),
        ("timm:resnet18", "a1_in1k", r"a1_in1k is not a file of weights for timm:resnet18\. .*TAG is one of a1_in1k"),
        ("timm:resnet18", "/nowhere/w.pth", "/nowhere/w.pth is not a file of weights"),
        ("timm:test_vit4", None, r"no published weights of test_vit4\. Pass a file with --pretrained"),
        ("timm:../x", None, "is not a network that timm knows"),
        ("timm:local-dir:/nowhere", None, r"/nowhere/config\.json cannot be read .*No such file"),
        ("timm:local-dir:/nowhere", "w.pth", "--pretrained w.pth has no place beside"),
        ("timm:hf-hub:org/repo", None, "is not a network that timm knows"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_loaded(model: str, pretrained: str | None, message: str) -> None:
    with pytest.raises(ImindexError, match=message):
        load(model, pretrained, device="cpu")


def test_a_file_for_a_network_without_published_weights(vit_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(timm.create_model("test_mambaout", num_classes=0).state_dict(), path)
    with pytest.raises(
        ImindexError, match=r"no published weights of test_mambaout\. Pass --preprocess-from MODEL:TAG"
    ):
        load("timm:test_mambaout", str(path), device="cpu")
    encoder = load("timm:test_mambaout", str(path), device="cpu", preprocess_from="test_vit:r160_in1k")
    assert encoder.preprocess.size == (160, 160)


# Published weights. Real ones are not exercised here: a stand-in for the hub serves random ones.


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Stand in for the hub: the file that it serves for each repository. Others cannot be reached."""
    files: dict[str, Path] = {}

    def download(repo_id: str, filename: str, **kwargs: Any) -> str:
        if repo_id not in files or not filename.endswith(".safetensors"):
            raise OSError("the hub cannot be reached")
        return str(files[repo_id])

    monkeypatch.setattr("timm.models._hub.hf_hub_download", download)
    return files


def test_published_weights_are_downloaded(hub: dict[str, Path], vit_file: Path) -> None:
    hub["timm/test_vit.r160_in1k"] = vit_file
    encoder = load("timm:test_vit", device="cpu", precision="fp32")
    assert (encoder.info.model, encoder.info.pretrained) == ("timm:test_vit.r160_in1k", "")
    from_file = load("timm:test_vit.r160_in1k", str(vit_file), device="cpu", precision="fp32")
    assert encoder.info.identity() == from_file.info.identity()
    assert (encoder.encode_images(torch.full((1, 3, 160, 160), 9, dtype=torch.uint8)) ==
            from_file.encode_images(torch.full((1, 3, 160, 160), 9, dtype=torch.uint8))).all()  # fmt: skip
    larger = load("timm:test_vit?size=192", device="cpu", precision="fp32")
    also = load("timm:test_vit?size=192", str(vit_file), device="cpu", precision="fp32")
    assert larger.info.identity() == also.info.identity()


def test_without_a_network_the_error_says_what_to_do(hub: dict[str, Path]) -> None:
    message = r"The weights of timm:test_vit\.r160_in1k cannot be loaded: the hub cannot be reached\. Without a network"
    with pytest.raises(ImindexError, match=message):
        load("timm:test_vit", device="cpu")


def test_weights_of_the_hub_that_lack_some_are_refused(
    hub: dict[str, Path], vit_file: Path, tmp_path: Path
) -> None:
    hub["timm/test_vit.r160_in1k"] = changed(
        vit_file, tmp_path / "w.safetensors", lambda s: s.pop("norm.bias")
    )
    with pytest.raises(ImindexError, match=r"the weights lack norm\.bias"):
        load("timm:test_vit", device="cpu")


@pytest.mark.parametrize(
    ("model", "pretrained", "known"),
    [
        ("timm:test_vit", None, True),
        ("timm:test_vit.r160_in1k", None, True),
        ("timm:test_vit.r160_in1k?pooling=avg&size=192", None, True),
        ("timm:test_vit.other", None, False),
        ("timm:test_vit", "/w.pth", False),
        ("timm:test_vit4", None, False),
        ("timm:nothing", None, False),
        ("timm:local-dir:/x", None, False),
        ("timm:hf-hub:org/test_vit", None, False),
        ("timm:test_vit/../x", None, False),
        ("timm:*", None, False),
        ("timm:test_vi?", None, False),
        ("timm", None, False),
    ],
)
def test_names_that_an_index_may_load(model: str, pretrained: str | None, known: bool) -> None:
    assert knows(model, pretrained) is known


# Folders of strangers


def configured(folder: Path, change: Callable[[dict[str, Any]], Any]) -> str:
    """Write another configuration beside the weights, and return the name of the model."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    return f"timm:local-dir:{folder}"


HOSTILE: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda c: c.update(architecture="resnet18", model_args={}), r"not fit resnet18: it has [\d,]+ numbers, and the"),
    (lambda c: c.update(architecture="eva02_tiny_patch14_224"), "does not fit eva02_tiny_patch14_224: "),
    (lambda c: c.update(architecture="hf-hub:org/repo"), r"names 'hf-hub:org/repo', which is no architecture"),
    (lambda c: c.update(architecture="nowhere"), "timm:nowhere is not a network that timm knows"),
    (lambda c: c.update(architecture=["x"]), "names no architecture"),
    (lambda c: c.pop("architecture"), "names no architecture"),
    (lambda c: c.update(auto_map={"AutoModel": "evil.Model"}), r"has auto_map: it asks to load .* by code of its own"),
    (lambda c: c["pretrained_cfg"].update(custom_load="hf"), "has custom_load: it asks to load"),
    (lambda c: c.update(trust_remote_code=True), "has trust_remote_code"),
    (lambda c: c["model_args"].update(embed_dim=32768), r"it has [\d,]+ numbers, and the network [\d,]+\. Name the"),
    (lambda c: c["model_args"].update(depth=200), r"it has \d+ weights, and the configuration asks for 200 layers"),
    (lambda c: c["model_args"].update(embed_dim=10**9), "model_args has 'embed_dim', which is not an argument"),
    (lambda c: c["model_args"].update(depth=201), "model_args asks for 201 layers"),
    (lambda c: c["model_args"].update(class_token=False), "cannot be made: .*class token"),
    (lambda c: c["model_args"].update(pretrained_cfg={"file": "/etc/passwd"}), "model_args has 'pretrained_cfg'"),
    (lambda c: c["model_args"].update(checkpoint_path="/etc/passwd"), "model_args has 'checkpoint_path'"),
    (lambda c: c["model_args"].update(features_only=True), "model_args has 'features_only'"),
    (lambda c: c["model_args"].update({"__class__": 1}), "model_args has '__class__'"),
    (lambda c: c["model_args"].update(no_such=1), "cannot be made: .*no_such"),
    (lambda c: c["model_args"].update(embed_dim="os.system"), "cannot be made"),
    (lambda c: c["model_args"].update(embed_dim=-1), "cannot be made|it has"),
    (lambda c: c["model_args"].update(num_heads=0), "cannot be made"),
    (lambda c: c["model_args"].update(in_chans=1), "takes 1 channels. Pictures have 3"),
    (lambda c: c.update(model_args=[1]), "model_args is not an object"),
    (lambda c: c["pretrained_cfg"].pop("mean"), r"does not say how pictures are prepared \(mean and std"),
    (lambda c: c["pretrained_cfg"].update(mean=[0.5]), r"has the mean \[0\.5\], not a list of three"),
    (lambda c: c["pretrained_cfg"].update(mean="red"), "has the mean 'red', not a list of three"),
    (lambda c: c["pretrained_cfg"].update(std=[0, 0, 0]), "has the std"),
    (lambda c: c["pretrained_cfg"].update(interpolation="nearest"), "resizes pictures by 'nearest'"),
    (lambda c: c["pretrained_cfg"].update(crop_pct=1e-9), "crops the share 1e-09 of a picture"),
    (lambda c: c["pretrained_cfg"].update(crop_pct="x"), "has the crop_pct 'x', not a number"),
    (lambda c: c["pretrained_cfg"].update(crop_mode="border", mean=[0.1, 0.2, 0.3]), "pads pictures with a colour"),
    (lambda c: c["pretrained_cfg"].update(input_size=[1, 56, 56]), "takes 1 channels"),
    (lambda c: c["pretrained_cfg"].update(input_size=[3, 56.5, 56]), "Each side has to be from 1 to 2048"),
    (lambda c: c["pretrained_cfg"].update(input_size=[3, 10**9, 56]), "Each side has to be from 1 to 2048"),
    (lambda c: c["pretrained_cfg"].update(input_size="large"), "has the input_size 'large', not a list"),
    (lambda c: c["pretrained_cfg"].update(input_size=56), "has the input_size 56, not a list of three"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_folders_are_refused(number: int, tmp_path: Path) -> None:
    change, message = HOSTILE[number]
    model = configured(save(tmp_path / "network", "vit_small_patch14_reg4_dinov2"), change)
    with pytest.raises(ImindexError, match=message):
        load(model, device="cpu")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"architecture": NaN}', "\0", '{"a":' * 100_000])
def test_configurations_that_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ImindexError, match=r"config\.json (cannot be read as|names no architecture)"):
        load(f"timm:local-dir:{tmp_path}", device="cpu")


def test_a_folder_without_weights_or_with_pickles(tmp_path: Path) -> None:
    folder = save(tmp_path / "network", "convnext_atto")
    state = safetensors.torch.load_file(folder / "model.safetensors")
    expected = load(f"timm:local-dir:{folder}", device="cpu").info
    (folder / "model.safetensors").unlink()
    with pytest.raises(ImindexError, match=r"has no weights \(model\.safetensors or pytorch_model\.bin\)"):
        load(f"timm:local-dir:{folder}", device="cpu")
    torch.save(state, folder / "pytorch_model.bin")
    assert load(f"timm:local-dir:{folder}", device="cpu").info == expected
    mark = tmp_path / "the code ran"
    PICKLES[0](mark, folder / "pytorch_model.bin")
    with pytest.raises(ImindexError, match="holds Python objects beside tensors"):
        load(f"timm:local-dir:{folder}", device="cpu")
    assert not mark.exists()


# Commands


def test_commands_with_a_network_of_timm(
    works: Callable[..., Path], folders: Callable[..., Path], tmp_path: Path
) -> None:
    pictures = works({"works/ada": 3, "works/bo": 3, "imitations/r1/ada": 3, "imitations/r1/bo": 3})
    folder, index = folders("convnext_atto", crop_pct=0.9), tmp_path / "i.h5"
    run("build", pictures, "-i", index, "--model", f"timm:local-dir:{folder}?pooling=max", "--device", "cpu")
    with Index(index) as opened:
        assert opened.n == 12 and opened.encoder.config["pooling"] == "max"
        info = opened.encoder
    said = json.loads(run("match", "-i", index, "--json", "--no-tests").stdout)
    assert {one["artist"] for one in said["artists"]} == {"ada", "bo"}
    assert "0 faults" in run("doctor", "-i", index, "--device", "cpu", "--trust-encoder").output
    assert load_as(info, device="cpu", trust=True).info.identity() == info.identity()
