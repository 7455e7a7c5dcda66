"""The encoder: all ways to name a model, batch-independent vectors, and refusals with a remedy."""

from __future__ import annotations

import inspect
import json
import shlex
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import open_clip.factory
import open_clip.pretrained
import pytest
import safetensors.torch
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders import open_clip as open_clip_backend
from imindex.indexer.encoders import precision as precisions
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.precision import _cpu_computes_bf16, default_batch_size
from imindex.indexer.encoders.registry import require_same
from imindex.indexer.encoders.torch_encoder import weights_digest
from imindex.indexer.encoders.torchscript import is_torchscript
from tests.support.models import TINY, save_model
from tests.support.pictures import picture


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local-dir, the same weights as .pt, and the configuration alone, plain and wrapped."""
    folder = save_model(tmp_path_factory.mktemp("models") / "tiny", seed=3)
    weights = safetensors.torch.load_file(folder / "open_clip_model.safetensors")
    torch.save(weights, folder / "weights.pt")
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, folder / "train.pt"
    )
    (folder / "plain.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    (folder / "bare.json").write_text(json.dumps(TINY))
    wrapped = {"model_cfg": TINY, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "wrapped.json").write_text(json.dumps(wrapped))
    return folder


@pytest.fixture
def registered(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a tiny model that open_clip knows during the test."""
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [*open_clip.factory._MODEL_CONFIG_PATHS])
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    (tmp_path / "tiny-for-tests.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path / "tiny-for-tests.json")
    tags = {"first": open_clip.pretrained._pcfg(), "second": open_clip.pretrained._pcfg()}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-for-tests", tags)
    yield "tiny-for-tests"


def quick(model: str, pretrained: object = None, **options: object) -> Encoder:
    options = {"device": "cpu", "precision": "fp32", **options}
    return load(model, None if pretrained is None else str(pretrained), **options)  # type: ignore[arg-type]


def pixels(n: int, seed: int = 0) -> torch.Tensor:
    stacked = [np.asarray(picture(seed + i, (32, 32))).transpose(2, 0, 1) for i in range(n)]
    return torch.from_numpy(np.array(stacked))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


# Ways to name a model


def test_aliases_of_the_same_weights_give_the_same_encoder(folder: Path, registered: str) -> None:
    weights = folder / "open_clip_model.safetensors"
    plain = str(folder / "plain.json")
    ways = [quick(f"local-dir:{folder}"), quick(registered, folder / "train.pt")]
    ways += [quick(name, file) for name in (plain, registered) for file in (weights, folder / "weights.pt")]
    expected = ways[0].encode_images(pixels(3)), ways[0].encode_texts(["a", "b"])
    for other in ways:
        require_same(ways[0].info, other.info)
        assert other.info.identity() == ways[0].info.identity()
        assert (other.encode_images(pixels(3)) == expected[0]).all()
        assert (other.encode_texts(["a", "b"]) == expected[1]).all()
    assert ways[0].info.dim == ways[0].dim == 32


def test_configuration_may_include_preprocessing(folder: Path) -> None:
    plain, wrapped = (
        quick(str(folder / name), folder / "open_clip_model.safetensors")
        for name in ("plain.json", "wrapped.json")
    )
    assert list(wrapped.info.preprocess["mean"]) == [0.5] * 3
    with pytest.raises(ImindexError, match=r"preprocessing .* against .*Name that encoder with --model"):
        require_same(plain.info, wrapped.info)


def test_vectors_equal_those_of_open_clip(folder: Path) -> None:
    mine = quick(f"local-dir:{folder}")
    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    shown = picture(5, (32, 32))
    with torch.no_grad():
        expected = theirs.eval().encode_image(preprocess(shown)[None]).numpy()
        text = theirs.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(["a cat"])).numpy()
    got = mine.encode_images(torch.from_numpy(np.asarray(shown).transpose(2, 0, 1).copy())[None])
    assert cosines(got, expected)[0] >= 0.9999
    assert cosines(mine.encode_texts(["a cat"]), text)[0] >= 0.9999
    assert abs(np.linalg.norm(got.astype(float)) - 1) < 1e-3 and got.dtype == np.float16


def test_the_weights_digest_is_of_the_weights(folder: Path, tmp_path: Path) -> None:
    first, again = (quick(f"local-dir:{folder}", precision=p).info.weights_sha256 for p in ("fp32", "bf16"))
    assert first == again and len(first) == 64
    model = open_clip.CLIP(**TINY)
    model.load_state_dict(safetensors.torch.load_file(folder / "open_clip_model.safetensors"))
    assert weights_digest(model) == first
    with torch.no_grad():
        model.logit_scale += 2**-20
    assert weights_digest(model) != first


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_activation_follows_the_pretrained_tag(
    folder: Path, registered: str, quick_gelu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = str(folder / "open_clip_model.safetensors")
    tag = {"url": "https://nowhere.invalid/x.safetensors", "quick_gelu": quick_gelu}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, registered, {"a_tag": tag})
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: weights)
    tagged, plain = quick(registered, "a_tag"), quick(str(folder / "plain.json"), weights)
    assert quick(registered, folder / "weights.pt").info.identity() == tagged.info.identity()
    expected = open_clip.create_model(registered, pretrained=weights, force_quick_gelu=quick_gelu).eval()
    with torch.no_grad():
        wanted = expected.encode_image((pixels(4) / 255 - tagged._mean) / tagged._std).numpy()
    assert cosines(tagged.encode_images(pixels(4)), wanted).min() >= 0.9999
    assert bool(tagged.info.config.get("quick_gelu")) == quick_gelu
    if quick_gelu:
        assert not (tagged.encode_images(pixels(4)) == plain.encode_images(pixels(4))).all()
        with pytest.raises(ImindexError, match="activation True against False"):
            require_same(tagged.info, plain.info)
    else:
        require_same(tagged.info, plain.info)


# Models that cannot be loaded


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("ViT-Z-99", None, r"^ViT-Z-99 is not a model that open_clip knows.*give local-dir:FOLDER"),
        ("ViT-B-16", None, r"^ViT-B-16 needs weights: pass --pretrained with one of .*openai.*or a path to a file"),
        ("ViT-B-32", None, r"laion2b_s34b_b79k of ViT-B-32 cannot be loaded: .*--pretrained /path/to/weights"),
        ("ViT-B-32", "openai", r"openai of ViT-B-32 cannot be loaded: .*Without a network, give a file"),
        ("ViT-B-32", "no_such_tag", r"no_such_tag of ViT-B-32 cannot be loaded: "),
        ("ViT-B-32", "/no/such/file.safetensors", r"/no/such/file\.safetensors of ViT-B-32 cannot be loaded: "),
        ("hf-hub:nobody/nothing", None, r"hf-hub:nobody/nothing cannot be loaded: .*give local-dir:FOLDER"),
        ("local-dir:/no/such/folder", None, r"local-dir:/no/such/folder cannot be loaded: .*Check the folder"),
        ("/no/such.json", None, r"/no/such\.json cannot be read as a model configuration: .*\."),
    ],
)  # fmt: skip
def test_missing_files_are_named_with_the_remedy(model: str, pretrained: str | None, message: str) -> None:
    with pytest.raises(ImindexError, match=message):
        quick(model, pretrained)


def test_an_invalid_configuration_is_refused(folder: Path, tmp_path: Path) -> None:
    for content in ("{", "[]", '{"model_cfg": 3}', '{"embed_dim": 32}', "3"):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ImindexError, match=r"bad\.json"):
            quick(str(tmp_path / "bad.json"), folder / "weights.pt")


def test_configuration_needs_matching_weights(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ImindexError, match=r"plain\.json is a model configuration: pass its weights"):
        quick(str(folder / "plain.json"))
    (tmp_path / "cut.safetensors").write_bytes((folder / "open_clip_model.safetensors").read_bytes()[:1000])
    with pytest.raises(ImindexError, match=r"plain\.json cannot be loaded"):
        quick(str(folder / "plain.json"), tmp_path / "cut.safetensors")
    wide = {**TINY, "vision_cfg": {**TINY["vision_cfg"], "width": 96}}
    other = save_model(tmp_path / "wide", config=wide)
    with pytest.raises(ImindexError, match=r"plain\.json cannot be loaded"):
        quick(str(folder / "plain.json"), other / "open_clip_model.safetensors")


def test_weights_next_to_a_local_dir_are_used_or_refused(folder: Path, tmp_path: Path) -> None:
    other = save_model(tmp_path / "other", seed=8) / "open_clip_model.safetensors"
    try:
        got = quick(f"local-dir:{folder}", other)
    except ImindexError:
        return
    assert got.info.weights_sha256 == quick(str(folder / "plain.json"), other).info.weights_sha256


# An index and its encoder


def test_relocated_encoder_of_an_index_is_found(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    weights = safetensors.torch.load_file(save_model(tmp_path / "m", seed=3) / "open_clip_model.safetensors")
    safetensors.torch.save_file(weights, tmp_path / "w.safetensors")
    first = quick(str(folder / "plain.json"), tmp_path / "w.safetensors")
    assert Path(first.info.pretrained).is_absolute()
    require_same(first.info, load_as(first.info, device="cpu").info)
    (tmp_path / "w.safetensors").rename(tmp_path / "gone.safetensors")
    with pytest.raises(ImindexError, match=r"pass its weights with --pretrained"):
        load_as(first.info, device="cpu")
    again = load_as(first.info, pretrained=str(tmp_path / "gone.safetensors"), device="cpu")
    assert again.info.weights_sha256 == first.info.weights_sha256
    (tmp_path / "m").rename(moved)
    assert load_as(first.info, model=f"local-dir:{moved}", device="cpu").info.precision == "fp32"
    other = save_model(tmp_path / "other", seed=4)
    with pytest.raises(
        ImindexError, match=r"was encoded with .*plain\.json.* at fp32, not local-dir:.*weights \w{12} "
    ):
        load_as(first.info, model=f"local-dir:{other}", device="cpu")


@pytest.mark.parametrize("way", ["local-dir:tiny", "tiny/plain.json"])
def test_an_index_finds_its_encoder_from_another_working_directory(
    folder: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    first = quick(way, "tiny/weights.pt" if way.endswith("json") else None)
    monkeypatch.chdir(tmp_path)
    require_same(first.info, load_as(first.info, device="cpu").info)


def test_different_precision_is_a_different_encoder(folder: Path) -> None:
    info = quick(f"local-dir:{folder}").info
    with pytest.raises(ImindexError, match="precision fp32 against bf16"):
        require_same(info, replace(info, precision="bf16"))
    require_same(info, replace(info, model="elsewhere", pretrained="/moved"))


# Arithmetic


def test_precisions_agree(folder: Path) -> None:
    by_precision = {p: quick(f"local-dir:{folder}", precision=p) for p in ("fp32", "bf16", "fp16")}
    images = {p: e.encode_images(pixels(16)) for p, e in by_precision.items()}
    texts = {p: e.encode_texts(["Artwork from Ada", "a cat"]) for p, e in by_precision.items()}
    for p in ("bf16", "fp16"):
        assert cosines(images["fp32"], images[p]).min() >= 0.999, p
        assert cosines(texts["fp32"], texts[p]).min() >= 0.999, p


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_vectors_depend_on_neither_batch_nor_order(folder: Path, precision: str) -> None:
    encoder = quick(f"local-dir:{folder}", precision=precision)
    shown = pixels(33)
    encoder.batch_size = 33
    whole = encoder.encode_images(shown)
    order = np.random.default_rng(0).permutation(33)
    for size in (1, 2, 7, 32, 1000):
        encoder.batch_size = size
        assert cosines(encoder.encode_images(shown), whole).min() >= 0.9999
        assert cosines(encoder.encode_images(shown[order]), whole[order]).min() >= 0.9999
    texts = [f"Artwork from {i}" for i in range(257)]
    together = encoder.encode_texts(texts)
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts[-3:]])
    assert cosines(together[-3:], alone).min() >= 0.9999
    assert encoder.encode_images(shown[:0]).shape == encoder.encode_texts([]).shape == (0, 32)


ERRORS = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("limit", [1, 3, 5, 16])
def test_batch_that_does_not_fit_is_halved_without_losing_pictures(
    folder: Path, error: Exception, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = quick(f"local-dir:{folder}", batch_size=16)
    expected, sizes = encoder.encode_images(pixels(37)), []
    real = encoder.model.encode_image

    def small(batch: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        if len(batch) > limit:
            raise error
        return real(batch)

    monkeypatch.setattr(encoder.model, "encode_image", small)
    assert cosines(encoder.encode_images(pixels(37)), expected).min() >= 0.9999
    assert encoder.batch_size == max(2**i for i in range(5) if 2**i <= limit)
    assert sum(size for size in sizes if size <= limit) == 37
    sizes.clear()
    encoder.encode_images(pixels(8))
    assert max(sizes) <= limit  # it does not try again what failed


def test_lack_of_memory_and_other_errors_are_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = quick(f"local-dir:{folder}")
    for error, kind, message in (
        (ERRORS[0], ImindexError, r"cpu has not enough memory for a single picture under .*smaller model"),
        (RuntimeError("mat1 and mat2 shapes"), RuntimeError, "mat1"),
    ):

        def fail(batch: torch.Tensor, error: Exception = error) -> torch.Tensor:
            raise error

        monkeypatch.setattr(encoder.model, "encode_image", fail)
        with pytest.raises(kind, match=message):
            encoder.encode_images(pixels(9))


# Options


def test_devices_and_precisions_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tpu", "cuda:x", "cpu:0", "CUDA", ""):
        with pytest.raises(ImindexError, match=r"--device .* is unknown\. Use auto, cpu, cuda or cuda:N"):
            quick(f"local-dir:{folder}", device=name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "cuda:3"):
        with pytest.raises(ImindexError, match=rf"--device {name}: this machine has no CUDA devices\. Use"):
            quick(f"local-dir:{folder}", device=name)
    assert default_batch_size("auto") == default_batch_size("cpu") == 32
    for computes, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(precisions, "_cpu_computes_bf16", lambda computes=computes: computes)
        assert quick(f"local-dir:{folder}", device="auto", precision="auto").info.precision == expected
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ImindexError, match=r"--device cuda:2: this machine has 2 CUDA devices"):
        quick(f"local-dir:{folder}", device="cuda:2")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_whether_a_cpu_computes_in_bf16_is_read_from_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    computes_bf16 = inspect.unwrap(_cpu_computes_bf16)  # also where the tests force an answer
    for flags in ("flags : sse avx512_bf16 fma", "amx_bf16", "Features : asimd bf16"):
        monkeypatch.setattr(Path, "read_text", lambda *_, flags=flags, **__: flags)
        assert computes_bf16()
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "flags : avx512f avx2")
    assert not computes_bf16()


# Names as OpenAI spells them, and its archives


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("ViT-B/32", "ViT-B-32"), ("ViT-B/16", "ViT-B-16"), ("ViT-L/14", "ViT-L-14"),
        ("open_clip:ViT-L/14", "ViT-L-14"),
        ("ViT-L/14@336px", "ViT-L-14-336"), ("ViT-B/32-quickgelu", "ViT-B-32-quickgelu"), ("RN50x64", "RN50x64"),
    ],
)  # fmt: skip
def test_openai_spelling_of_a_tag_is_that_of_open_clip(spelled: str, name: str) -> None:
    assert open_clip_backend.registered_name(spelled) == name
    assert open_clip_backend.knows(spelled, "openai")
    bare = name.removesuffix("-quickgelu")
    with pytest.raises(
        ImindexError, match=rf"^The weights openai of {name} cannot be loaded: .*--model {bare}"
    ):
        quick(spelled, "openai")


def test_openai_spelling_with_a_file_of_weights(folder: Path, registered: str) -> None:
    spelled = registered.replace("-", "/", 1)
    info = quick(spelled, folder / "weights.pt").info
    assert info.model == registered
    assert info == quick(registered, folder / "weights.pt").info
    require_same(info, load_as(info, model=spelled, pretrained=str(folder / "weights.pt"), device="cpu").info)


@pytest.mark.parametrize(
    ("model", "hint"),
    [("ViT-B/33", "Did you mean ViT-B-32"),
     ("vit-l/14", "Did you mean ViT-L-14"), ("vit_b_32", "Did you mean ViT-B-32"),
     ("laion/CLIP-ViT-B-32-laion2B", "hf-hub:laion/CLIP-ViT-B-32-laion2B"), ("/", "is not a model that open_clip")],
)  # fmt: skip
def test_a_name_that_is_almost_right_is_answered_with_the_right_one(model: str, hint: str) -> None:
    with pytest.raises(ImindexError, match="is not a model that open_clip knows") as raised:
        quick(model)
    assert hint in str(raised.value)


class Held(torch.nn.Module):
    """A network that holds weights under given names."""

    def __init__(self, weights: dict[str, torch.Tensor]):
        super().__init__()
        for name, tensor in weights.items():
            *path, last = name.split(".")
            holder: torch.nn.Module = self
            for part in path:
                if not hasattr(holder, part):
                    holder.add_module(part, torch.nn.Module())
                holder = getattr(holder, part)
            holder.register_buffer(last, tensor)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels


def torchscript(folder: Path, path: Path) -> Path:
    weights = {
        k: v.half() for k, v in safetensors.torch.load_file(folder / "open_clip_model.safetensors").items()
    }
    numbers = {name: torch.tensor(7) for name in ("input_resolution", "context_length", "vocab_size")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated
        traced = torch.jit.trace(Held({**weights, **numbers}), torch.zeros(1))
    traced.save(str(path))
    return path


def test_a_torchscript_archive_is_named_and_its_conversion_works(
    folder: Path, registered: str, tmp_path: Path
) -> None:
    archive = torchscript(folder, tmp_path / "ViT B 32.pt")
    with pytest.raises(ImindexError, match=r"TorchScript archive.*--pretrained openai.*convert it") as raised:
        quick(registered, archive)
    sentence, command = str(raised.value).split("\n")
    assert str(archive) in sentence and "--preprocess-from openai" in sentence
    words = shlex.split(command)
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], check=True, timeout=120)
    converted = quick(registered, tmp_path / "ViT B 32.safetensors")
    original = quick(registered, folder / "weights.pt")
    assert cosines(converted.encode_images(pixels(2)), original.encode_images(pixels(2))).min() > 0.999


@pytest.mark.parametrize("way", ["json", "local-dir"])
def test_a_torchscript_archive_is_named_wherever_it_is(folder: Path, tmp_path: Path, way: str) -> None:
    archive = torchscript(folder, tmp_path / "open_clip_model.bin")
    shutil.copy(folder / "open_clip_config.json", tmp_path)
    with pytest.raises(ImindexError, match=r"open_clip_model\.bin is a TorchScript archive"):
        quick(str(folder / "plain.json"), archive) if way == "json" else quick(f"local-dir:{tmp_path}")


def test_other_files_are_not_taken_for_torchscript(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.pt").write_text("PK\3\4 but no archive")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as other:
        other.writestr("a/data.pkl", b"")
    files = [
        folder / "weights.pt",
        folder / "train.pt",
        *tmp_path.glob("*.pt"),
        tmp_path / "none.pt",
        tmp_path,
    ]
    assert not any(map(is_torchscript, files))
