"""Encoders are loaded quickly: with few libraries, without random weights, and to the same vectors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from PIL import Image

import imindex
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.torch_encoder import TorchEncoder, unit_vectors
from imindex.indexer.encoders.weights import weights_assigned, weights_mapped
from imindex.indexer.store.index import Index
from imindex.indexer.system.light_imports import light_imports

CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("light")
    torch.manual_seed(1)
    model = open_clip.model.CLIP(**CONFIG)
    config, file = folder / "tiny.json", folder / "w.safetensors"
    config.write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}), encoding="utf-8")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    state["visual.proj"] = state["visual.proj"].half()  # as some published weights are
    safetensors.torch.save_file(state, file)
    return config, file


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_vectors_and_weights_are_those_of_a_copy(weights: tuple[Path, Path], precision: str) -> None:
    config, file = weights
    encoder = load(str(config), str(file), device="cpu", precision=precision)
    plain = open_clip.model.CLIP(**CONFIG)
    plain.load_state_dict(safetensors.torch.load_file(file))
    assert {tensor.dtype for tensor in plain.state_dict().values()} == {torch.float32}
    plain = plain.to(encoder.model.visual.proj.dtype).eval()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, encoder.model.state_dict()[name]), name
    pixels = torch.randint(
        0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
    )
    tokens = open_clip.get_tokenizer("ViT-B-32")(["Artwork from somebody"])
    with torch.inference_mode():
        expected = unit_vectors(plain.encode_image(encoder.prepare(pixels)))
        of_text = unit_vectors(plain.encode_text(tokens))
    assert np.array_equal(encoder.encode_images(pixels), expected)
    assert np.array_equal(encoder.encode_texts(["Artwork from somebody"]), of_text)


def overwrite(file: Path) -> None:
    """Zero the tensors of a file of weights in place, as `cp` over it does."""
    with file.open("r+b") as opened:
        header = int.from_bytes(opened.read(8), "little")
        size = opened.seek(0, 2)
        opened.seek(8 + header)
        opened.write(bytes(size - 8 - header))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_encoder_does_not_change_when_its_file_is_overwritten(
    weights: tuple[Path, Path], tmp_path: Path, precision: str
) -> None:
    config, file = weights
    own = Path(shutil.copy(file, tmp_path))
    encoder = load(str(config), str(own), device="cpu", precision=precision)
    pixels = torch.randint(
        0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
    )
    before = encoder.encode_images(pixels)
    overwrite(own)
    assert np.array_equal(encoder.encode_images(pixels), before)


def test_a_build_keeps_the_weights_that_its_index_records(
    weights: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is overwritten between two batches of one build."""
    config, file = weights
    for number in range(4):
        picture = tmp_path / "pictures" / "works" / "someone" / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (60 * number, 10, 200)).save(picture)
    settings = {"model": str(config), "device": "cpu", "precision": "fp32", "batch_size": 2}
    imindex.build(tmp_path / "pictures", tmp_path / "plain.h5", pretrained=str(file), **settings)
    own, encode = Path(shutil.copy(file, tmp_path)), TorchEncoder.encode_images

    def then_overwrite(encoder: TorchEncoder, pixels: torch.Tensor) -> np.ndarray:
        vectors = encode(encoder, pixels)
        overwrite(own)
        return vectors

    monkeypatch.setattr(TorchEncoder, "encode_images", then_overwrite)
    imindex.build(tmp_path / "pictures", tmp_path / "over.h5", pretrained=str(own), **settings)
    with Index(tmp_path / "plain.h5") as plain, Index(tmp_path / "over.h5") as over:
        assert plain.encoder.weights_sha256 == over.encoder.weights_sha256
        assert np.array_equal(plain.vectors, over.vectors)


def test_only_a_query_maps_weights(weights: tuple[Path, Path], tmp_path: Path) -> None:
    config, file = weights
    own = Path(shutil.copy(file, tmp_path))
    with weights_mapped():
        encoder = load(str(config), str(own), device="cpu", precision="fp32")
    before = encoder.model.state_dict()["logit_scale"].clone()
    overwrite(own)
    assert before != 0 and encoder.model.state_dict()["logit_scale"] == 0
    users = {
        file.name
        for part in ("indexer", "retrieval", "stats")
        for file in (Path(imindex.__file__).parent / part).rglob("*.py")
        if "weights_mapped" in file.read_text(encoding="utf-8")
    }
    assert users == {"weights.py", "query.py"}


def test_missing_weights_are_refused_and_everything_is_put_back() -> None:
    before = torch.nn.init.normal_, torch.nn.Module.load_state_dict
    with pytest.raises(RuntimeError, match="bias"), weights_assigned():
        torch.nn.Linear(2, 2).load_state_dict({"weight": torch.zeros(2, 2)}, strict=False)
    with pytest.raises(RuntimeError, match="size mismatch"), weights_assigned():
        torch.nn.Linear(2, 2).load_state_dict({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)})
    assert before == (torch.nn.init.normal_, torch.nn.Module.load_state_dict)
    assert torch.nn.Linear(50, 50).weight.std() > 0.01  # initialised again


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_only_what_is_needed_is_imported_and_the_rest_can_be() -> None:
    out = run(
        "import sys, imindex.indexer.encoders.open_clip as own\n"
        "import imindex.retrieval.api, imindex.retrieval.search.attribution\n"
        "print([name for name in ('transformers', 'timm', 'torch._dynamo', 'scipy.stats') if name in sys.modules])\n"
        "from imindex.indexer.encoders.weights import import_towers\n"
        "import_towers(own.open_clip, {'text_cfg': {'hf_model_name': 'a/b'}, 'vision_cfg': {'timm_model_name': 'c'}})\n"
        "import open_clip.model, torch._dynamo.utils, torchvision.ops.roi_align\n"
        "print(open_clip.hf_model.transformers.__name__, open_clip.timm_model.timm.__name__)\n"
        "print(open_clip.model.HFTextEncoder is open_clip.hf_model.HFTextEncoder)\n"
        "print(callable(torch._dynamo.utils.is_compile_supported), torch._dynamo.__file__ is not None)\n"
    )
    assert out.splitlines() == ["[]", "transformers timm", "True", "True True"]


def test_foreign_code_is_refused_in_a_library_that_is_imported_later() -> None:
    out = run(
        "import sys\n"
        "from imindex.indexer.system.foreign_code import ForeignCode, no_foreign_code\n"
        "assert 'transformers' not in sys.modules\n"
        "try:\n"
        "    with no_foreign_code('This model'):\n"
        "        from transformers.dynamic_module_utils import get_class_from_dynamic_module as get\n"
        "        try:\n"
        "            get('a.B', 'evil')\n"
        "        except Exception:\n"
        "            pass\n"
        "except ForeignCode as error:\n"
        "    print('refused', 'get_class_from_dynamic_module' in str(error))\n"
        "print(any(type(f).__name__ == '_OnImport' for f in sys.meta_path))\n"
    )
    assert out.splitlines() == ["refused True", "False"]


def test_hidden_libraries_come_back_after_an_error() -> None:
    name = "no_such_library_of_imindex"
    with pytest.raises(ZeroDivisionError), light_imports(name):
        assert sys.modules[name] is None
        raise ZeroDivisionError
    assert name not in sys.modules


def test_models_of_other_threads_are_not_affected() -> None:
    before = torch.nn.init.kaiming_uniform_, torch.nn.Module.load_state_dict
    inside, checked = threading.Event(), threading.Event()
    seen: list[bool] = []

    def other() -> None:
        inside.wait(60)
        layer = torch.nn.Linear(3, 3)
        torch.nn.init.constant_(layer.weight, 7.0)
        seen.append(bool((layer.weight == 7).all()))
        seen.append(layer.load_state_dict({"bias": torch.ones(3)}, strict=False).missing_keys == ["weight"])
        checked.set()

    thread = threading.Thread(target=other)
    thread.start()
    with weights_assigned():
        inside.set()
        assert checked.wait(60)
    thread.join()
    assert seen == [True, True]
    assert (torch.nn.init.kaiming_uniform_, torch.nn.Module.load_state_dict) == before


def test_two_threads_may_load_at_once() -> None:
    before = torch.nn.init.kaiming_uniform_, torch.nn.Module.load_state_dict
    first_is_in, second_may_leave = threading.Event(), threading.Event()

    def second() -> None:
        first_is_in.wait(60)
        with weights_assigned():
            second_may_leave.wait(60)

    thread = threading.Thread(target=second)
    thread.start()
    with weights_assigned():
        first_is_in.set()
    second_may_leave.set()
    thread.join()
    assert (torch.nn.init.kaiming_uniform_, torch.nn.Module.load_state_dict) == before
