"""Back ends: the example in ENCODERS.md works with every command without other edits, and refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imindex.indexer.build.build import build
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.doctor import encoder as doctor_encoder
from imindex.indexer.encoders import registry
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.multi_device import on_devices
from imindex.indexer.encoders.registry import differences, register, require_same
from imindex.indexer.encoders.torch_encoder import TorchEncoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index, recompute_root_digest
from tests.support.commands import run
from tests.support.places import ROOT

PAGE = ROOT / "indexer" / "encoders" / "ENCODERS.md"
COLOURS = {"ada": (200, 30, 30), "bo": (30, 60, 200)}
"""The colours of the works and imitations of each artist."""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path for modules of back ends; the registry is restored afterwards."""
    folder = tmp_path_factory.mktemp("modules")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "BACKENDS", dict(registry.BACKENDS))
        patch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture(scope="module")
def mean_colour(modules: Path) -> str:
    """The name of the example back end, read from the page that explains it."""
    (source,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    (modules / "mean_colour_of_the_page.py").write_text(source)
    register("mean-colour", "mean_colour_of_the_page")
    return "mean-colour"


@pytest.fixture(scope="module")
def index(mean_colour: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of red pictures by ada, blue pictures by bo and a black one, built by the command."""
    folder = tmp_path_factory.mktemp("colours")
    noise = np.random.default_rng(0)
    for kind in ("works", "imitations/r1"):
        for artist, colour in COLOURS.items():
            (folder / kind / artist).mkdir(parents=True)
            for number in range(6):
                pixels = np.clip(colour + noise.integers(-25, 26, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / kind / artist / f"{number}.png")
    Image.new("RGB", (32, 32)).save(folder / "works" / "ada" / "black.png")
    run("build", folder, "-i", folder / "colours.h5", "--model", mean_colour, "--device", "cpu")
    return folder / "colours.h5"


def test_a_build_stores_the_mean_colours_of_the_pictures(index: Path) -> None:
    with Index(index) as opened:
        assert recompute_root_digest(opened) == opened.root_digest
        assert (opened.n, opened.encoder.dim, opened.encoder.config) == (24, 3, {"backend": "mean-colour"})
        for row, path in enumerate(opened.column("path")):
            mean = np.asarray(Image.open(index.parent / path), np.float64).mean((0, 1))
            off = np.abs(np.asarray(opened.vectors[row], np.float64) - mean / np.linalg.norm(mean)).max()
            assert off < 2.0**-12 + 1e-6, path  # rounded to float16
    rejects = run("info", "--rejects", "-i", index).output
    assert "no finite vector" in rejects  # black has no direction


def test_every_command_that_compares_pictures_works(index: Path) -> None:
    red = index.parent / "works" / "ada" / "0.png"
    said = json.loads(run("query", red, "-i", index, "-k", 3, "--json").stdout)
    found = said["queries"][0]["kinds"]["works"]
    assert found["artists"][0]["artist"] == "ada" and found["pictures"][0]["cosine"] == pytest.approx(
        1, abs=1e-3
    )
    said = json.loads(run("match", "-i", index, "--json").stdout)
    assert all(one["auc"] == 1 for one in said["artists"])
    said = json.loads(run("classify", "--by", "works", "-i", index, "--json").stdout)
    assert said["methods"][0]["top1"] == 1
    assert "0 faults" in run("doctor", "-i", index, "--device", "cpu").output
    assert "Encoded 0 pictures (24 unchanged" in run("build", index.parent, "-i", index).output
    replayed = run("verify", "-i", index, "--replay", 24, "--device", "cpu").output
    assert "24 were encoded again: 24 vectors" in " ".join(replayed.split())


def test_a_precision_that_the_encoder_does_not_have_is_refused(
    index: Path, mean_colour: str, tmp_path: Path
) -> None:
    message = r"mean-colour computes at fp32, not fp16\. Drop precision \(--precision\)"
    with pytest.raises(ImindexError, match=message):
        load(mean_colour, device="cpu", precision="fp16")
    arguments = ("build", index.parent, "-i", tmp_path / "new.h5", "--model", mean_colour)
    refused = run(*arguments, "--precision", "fp16", "--device", "cpu", code=1).output
    assert re.search(message, " ".join(refused.split()))
    assert not (tmp_path / "new.h5").exists()
    for _ in range(2):
        run(*arguments, "--precision", "fp32", "--device", "cpu")


def test_texts_are_refused_with_the_remedy(index: Path, mean_colour: str) -> None:
    encoder = load(mean_colour, device="cpu")
    assert not encoder.has_text
    message = r"mean-colour at \w+ has no text side: .*--by works\), query with a picture, or build"
    with pytest.raises(ImindexError, match=message):
        encoder.encode_texts(["a red picture"])
    for words in (("classify", "--by", "name"), ("query", "--text", "red")):
        refused = run(*words, "-i", index, "--device", "cpu", code=1).output
        assert re.search(message, " ".join(refused.split())), words


def test_index_accepts_only_its_own_backend(
    index: Path, mean_colour: str, tiny_model: str, tiny_encoder: Encoder
) -> None:
    with Index(index) as opened:
        info = opened.encoder
    require_same(info, load_as(info, device="cpu").info)
    with pytest.raises(ImindexError, match=r"back end mean-colour against open_clip.*Name that encoder"):
        load_as(info, model=tiny_model, device="cpu")
    with pytest.raises(ImindexError, match="back end open_clip against mean-colour"):
        load_as(tiny_encoder.info, model=mean_colour, device="cpu")
    with pytest.raises(ImindexError, match=r"mean-colour has one model and no weights\. Use --model"):
        load_as(info, model="mean-colour:other", device="cpu")


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"config": {"backend": "mean-colour", "space": "lab"}}, ["space None against lab"]),
        ({"config": {"backend": "mean-colour", "space": "lab" * 99}}, [r"space None against [0-9a-f]{12}"]),
        ({"config": {"backend": "other"}}, ["back end mean-colour against other"]),
        ({"weights_sha256": "0" * 64}, ["weights .* against 000000000000"]),
        ({"dim": 4}, ["dimensions 3 against 4"]),
        ({"precision": "fp16", "dim": 4}, ["dimensions 3 against 4", "precision fp32 against fp16"]),
        ({"model": "elsewhere", "pretrained": "/moved"}, []),
    ],
)
def test_differences_between_two_encoders_are_named(
    mean_colour: str, changed: dict[str, object], difference: list[str]
) -> None:
    info = load(mean_colour, device="cpu", precision="fp32").info
    found = differences(info, replace(info, **changed))  # type: ignore[arg-type]
    assert len(found) == len(difference)
    assert all(re.fullmatch(pattern, one) for pattern, one in zip(difference, found, strict=True)), found


def test_an_unknown_back_end_of_an_index_is_named(index: Path) -> None:
    with Index(index) as opened:
        info = replace(opened.encoder, config={"backend": "nowhere"})
    with pytest.raises(ImindexError, match=r"back end nowhere, and this version of imindex has open_clip"):
        load_as(info, device="cpu")


def test_error_names_the_missing_library_of_a_backend(modules: Path) -> None:
    (modules / "needs_a_library.py").write_text("import no_such_library_anywhere\n")
    register("needy", "needs_a_library")
    with pytest.raises(
        ImindexError, match=r"back end needy needs no_such_library_anywhere, which is not inst"
    ):
        load("needy:model", device="cpu")


def test_backend_without_a_name_is_refused(modules: Path, mean_colour: str) -> None:
    source = (modules / "mean_colour_of_the_page.py").read_text()
    source = source.replace('{"backend": NAME}', "{}").replace('"mean-colour"', '"nameless"')
    (modules / "nameless.py").write_text(source)
    register("nameless", "nameless")
    with pytest.raises(
        ImindexError, match=r'nameless made an encoder .*open_clip\. Set config={"backend": "nam'
    ):
        load("nameless", device="cpu")


def test_names_that_cannot_be_registered(mean_colour: str) -> None:
    register("mean-colour", "mean_colour_of_the_page")  # again, the same
    for name, module, message in (
        ("", "somewhere", "empty or contains a colon"),
        ("timm:small", "somewhere", "empty or contains a colon"),
        ("open_clip", "somewhere", "open_clip is already registered: imindex.indexer.encoders.open_clip"),
    ):
        with pytest.raises(ValueError, match=message):
            register(name, module)


def test_open_clip_is_the_back_end_of_every_other_name(tiny_model: str, tiny_encoder: Encoder) -> None:
    named = load(f"open_clip:{tiny_model}", device="cpu", precision="fp32")
    assert named.info == tiny_encoder.info and "backend" not in named.info.config
    assert registry.name_of(named.info) == "open_clip" and named.has_text


class Sums(TorchEncoder):
    """A PyTorch model that implements only the forward pass of pictures."""

    def features(self, prepared: torch.Tensor) -> torch.Tensor:
        return self.model(prepared.sum((2, 3)))


def test_a_pytorch_model_without_a_text_side() -> None:
    preprocess = {"size": [8, 8], "mean": [0.5] * 3, "std": [0.25] * 3}
    info = EncoderInfo("sums", "", "ab" * 32, {"backend": "sums"}, preprocess, 3, "fp32")

    def make(device: torch.device, batch_size: int | None) -> Encoder:
        return Sums(torch.nn.Identity(), info, device=device, batch_size=batch_size)

    pixels = torch.randint(0, 256, (7, 3, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(0))
    expected = ((pixels.double() / 255 - 0.5) / 0.25).sum((2, 3))
    expected /= expected.norm(dim=1, keepdim=True)
    for devices in (1, 3):
        encoder = on_devices(make, [torch.device("cpu")] * devices, 5)
        assert np.abs(encoder.encode_images(pixels) - expected.numpy()).max() < 1e-3
        assert not encoder.has_text
        with pytest.raises(ImindexError, match="sums at fp32 has no text side"):
            encoder.encode_texts([])
    assert doctor_encoder.vectors_are_unit(encoder, pixels).status == "ok"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda n: np.full((n, 32), 2, np.float16), r"vector of norm 11\.31 for picture 0 of 2"),
        (lambda n: np.zeros((n, 32), np.float16), "vector of norm 0 for picture 0 of 2"),
        (lambda n: np.eye(32)[:n], r"returned float64 of shape \(2, 32\) for 2 pictures"),
        (lambda n: np.ones((n, 4), np.float16), r"returned float16 of shape \(2, 4\)"),
        (lambda n: torch.eye(32)[:n], "returned Tensor for 2 pictures"),
    ],
)
def test_non_unit_vectors_are_never_indexed(
    returned: Callable[[int], object], message: str, tiny_encoder: Encoder, works: Callable[..., Path],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(tiny_encoder, "encode_images", lambda pixels: returned(len(pixels)))
    items = list(find([works({"works/ada": 2})]))
    with pytest.raises(ImindexError, match=message):
        build(items, tmp_path / "i.h5", LazyEncoder(lambda: tiny_encoder, 8))
    assert not (tmp_path / "i.h5").exists()
