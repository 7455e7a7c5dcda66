"""The back end for SSCD: its vectors are those of the authors' network, whichever file they come from."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torchvision import transforms

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.preprocess import decode
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.precision import PRECISIONS
from imindex.indexer.encoders.registry import knows
from tests.support.commands import run
from tests.support.pictures import encoded, picture
from tests.support.places import ROOT
from tests.support.sscd_models import Classy, Torchvision, save_script
from tests.support.vision_towers import randomize, unit

BLOCKS = (1, 1, 1, 1)
PICTURES = [encoded(picture(1, (200, 160)), "JPEG", quality=92), encoded(picture(2, (61, 90)), "PNG")]
SKEW = transforms.Compose(
    [
        transforms.Resize([320, 320]),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)
"""`skew_320` of the authors' README."""


def made(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    randomize(network, seed)
    return network.eval()


@pytest.fixture(scope="module")
def torchvision_model() -> torch.nn.Module:
    return made(Torchvision(BLOCKS, 24))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, torchvision_model: torch.nn.Module) -> dict[str, Path]:
    """Files as the authors publish them, and their weights as safetensors."""
    folder = tmp_path_factory.mktemp("sscd")
    state = torchvision_model.state_dict()
    torch.save(state, folder / "small.torchvision.pt")
    safetensors.torch.save_file(state, folder / "small.safetensors")
    return {
        "weights": folder / "small.torchvision.pt",
        "safetensors": folder / "small.safetensors",
        "script": save_script(torchvision_model, folder / "small.torchscript.pt"),
        "trace": save_script(torchvision_model, folder / "traced.torchscript.pt", "trace"),
    }


def cosines(file: Path, network: Callable[[torch.Tensor], torch.Tensor], precision: str) -> list[float]:
    encoder = load("sscd", str(file), device="cpu", precision=precision, color="as-encoded")
    found = []
    for data in PICTURES:
        ours = encoder.encode_images(decode(data, encoder.preprocess).pixels[None])[0].astype(float)
        image = Image.open(io.BytesIO(data)).convert("RGB")
        with torch.inference_mode():
            theirs = unit(network(SKEW(image)[None].to(PRECISIONS[precision])))
        found.append(float(ours @ theirs / np.linalg.norm(ours)))
    return found


def vectors(file: Path) -> np.ndarray:
    encoder = load("sscd", str(file), device="cpu", precision="fp32", color="as-encoded")
    return encoder.encode_images(
        torch.stack([decode(data, encoder.preprocess).pixels for data in PICTURES])
    ).astype(float)


def test_vectors_equal_those_of_the_scripted_module(files: dict[str, Path], tmp_path: Path) -> None:
    """The module is loaded and run by PyTorch in another process, and only its weights are read here."""
    shutil.copy(files["script"], tmp_path / "model.pt")
    for number, data in enumerate(PICTURES):
        np.save(tmp_path / f"{number}.npy", SKEW(Image.open(io.BytesIO(data)).convert("RGB")).numpy())
    program = """
        import sys, numpy as np, torch
        module = torch.jit.load(sys.argv[1] + "/model.pt")
        batch = torch.from_numpy(np.stack([np.load(f"{sys.argv[1]}/{number}.npy") for number in range(2)]))
        with torch.inference_mode():
            np.save(sys.argv[1] + "/own.npy", module(batch).numpy())
    """
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), str(tmp_path)], check=True, cwd=ROOT
    )
    own = np.load(tmp_path / "own.npy").astype(float)
    ours = vectors(files["script"])
    assert np.allclose(np.linalg.norm(own, axis=1), 1, atol=1e-5)
    assert all(a @ b / np.linalg.norm(a) >= 0.9999 for a, b in zip(ours, own, strict=True))
    assert ours[0] @ ours[1] < 0.99  # the weights tell pictures apart


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_vectors_equal_the_authors_network(
    precision: str, files: dict[str, Path], torchvision_model: torch.nn.Module
) -> None:
    reference = Torchvision(BLOCKS, 24)
    reference.load_state_dict(torchvision_model.state_dict())
    assert min(cosines(files["weights"], reference.to(PRECISIONS[precision]).eval(), precision)) >= 0.9999


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_vectors_of_the_large_model_equal_those_of_classy_vision(precision: str, tmp_path: Path) -> None:
    """ResNeXt with 32 groups of 4 channels, which has only this layout, as weights and as TorchScript."""
    network = made(Classy((1, 2, 1, 1), 16, groups=32, width=4))
    torch.save(network.state_dict(), tmp_path / "large.classy.pt")
    script = save_script(network, tmp_path / "large.torchscript.pt")
    encoders = [load("sscd", str(file), device="cpu") for file in (tmp_path / "large.classy.pt", script)]
    assert encoders[0].info.identity() == encoders[1].info.identity()
    config = encoders[0].info.config
    assert (config["blocks"], config["groups"], config["width_per_group"]) == ([1, 2, 1, 1], 32, 4)
    assert min(cosines(script, network.to(PRECISIONS[precision]), precision)) >= 0.9999


def test_every_form_of_the_file_is_the_same_encoder(files: dict[str, Path]) -> None:
    infos = {
        name: load("sscd", str(file), device="cpu", precision="fp32").info for name, file in files.items()
    }
    assert len({json.dumps(info.identity(), sort_keys=True) for info in infos.values()}) == 1
    info = infos["script"]
    assert (info.model, info.pretrained, info.dim) == ("sscd", str(files["script"]), 24)
    assert info.preprocess["size"] == [320, 320] and info.preprocess["resize_mode"] == "squash"
    assert info.preprocess["interpolation"] == "bilinear" and str(files["script"].parent) not in json.dumps(
        info.identity()
    )
    other = load("sscd?resize=skew_288", str(files["script"]), device="cpu", precision="fp32").info
    assert other.preprocess["size"] == [288, 288] and other.model == "sscd?resize=skew_288"
    assert not knows("sscd", str(files["script"]))


def test_published_sizes_are_recognised() -> None:
    """The networks that the authors publish, by their names of tensors alone; no weights."""
    from imindex.indexer.encoders.sscd import torchvision_names

    with torch.device("meta"):
        classy = Classy((3, 4, 23, 3), 1024, groups=32, width=4).state_dict()
        expected = Torchvision((3, 4, 23, 3), 1024, groups=32, width=4).state_dict()
    renamed = torchvision_names(classy)
    assert {name: tensor.shape for name, tensor in renamed.items()} == {
        name.removeprefix("backbone."): tensor.shape for name, tensor in expected.items()
    }


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("sscd?resize=small_288", r"small_288 keeps the aspect ratio.*\?resize=skew_320"),
        ("sscd?resize=huge", "there is no resize huge. Use one of skew_320, skew_288"),
        ("sscd?pooling=avg", "the option pooling is unknown.*resize"),
        ("sscd:large", r"has one model\. Use --model sscd --pretrained FILE"),
    ],
)
def test_names_and_options_that_do_not_apply_are_refused(
    model: str, message: str, files: dict[str, Path]
) -> None:
    with pytest.raises(ImindexError, match=message):
        load(model, str(files["weights"]), device="cpu")


def test_missing_weights_are_named() -> None:
    with pytest.raises(
        ImindexError, match=r"--model sscd needs a file of weights\. Download sscd_disc_mixup"
    ):
        load("sscd", device="cpu")
    with pytest.raises(ImindexError, match=r"needs a file of weights, and /no/file is none"):
        load("sscd", "/no/file", device="cpu")


def refused(network: torch.nn.Module, path: Path, way: str = "script") -> str:
    save_script(made(network), path, way)
    with pytest.raises(ImindexError) as error:
        load("sscd", str(path), device="cpu")
    return str(error.value)


def test_other_networks_are_refused(tmp_path: Path, torchvision_model: torch.nn.Module) -> None:
    said = refused(torch.nn.Linear(2, 2), tmp_path / "linear.pt")
    assert (
        "TorchScript archive of another network than SSCD's (imindex never runs the code" in said
        and "fc.weight" in said
    )
    frozen = refused(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path / "frozen.pt", "freeze")
    assert "whose weights have no names" in frozen and ".torchvision.pt or .classy.pt" in frozen
    assert "pools with the exponent 4" in refused(Torchvision(BLOCKS, 8, power=4.0), tmp_path / "power.pt")
    state = torchvision_model.state_dict()
    for change, message in (
        ({"backbone.bn1.bias": None}, r"1 are missing \(bn1\.bias\), 0 have no place"),
        ({"evil": torch.zeros(1)}, r"0 are missing, 1 have no place \(evil\)"),
        ({"backbone.bn1.bias": torch.zeros(3)}, r"and 1 have another shape \(bn1\.bias\)"),
        ({"backbone.fc.weight": None}, "it has no fc.weight"),
        ({"backbone.fc.weight": torch.zeros(2)}, "its layers have other shapes"),
    ):
        changed = {name: tensor for name, tensor in {**state, **change}.items() if tensor is not None}
        torch.save(changed, tmp_path / "changed.pt")
        with pytest.raises(ImindexError, match=message):
            load("sscd", str(tmp_path / "changed.pt"), device="cpu")


def test_an_index_is_built_searched_and_matched(
    files: dict[str, Path], works: Callable[..., Path], tmp_path: Path
) -> None:
    art = works({"works/ada": 2, "works/bo": 1, "imitations/r1/ada": 1, "imitations/r1/bo": 1})
    index = tmp_path / "i.h5"
    run("build", art, "-i", index, "--model", "sscd", "--pretrained", files["script"], "--device", "cpu")
    said = json.loads(run("query", art / "works" / "ada" / "001.png", "-i", index, "-k", 1, "--json").stdout)
    assert said["queries"][0]["kinds"]["works"]["pictures"][0]["cosine"] == pytest.approx(1, abs=2e-3)
    assert len(json.loads(run("match", "-i", index, "--json").stdout)["artists"]) == 2
