"""Several devices: the same vectors as one device, in order, for any number of pictures; refused names."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from imindex.indexer.build.build import build
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders import load as loading
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.multi_device import MultiDeviceEncoder
from imindex.indexer.encoders.precision import default_batch_size
from imindex.indexer.encoders.torch_encoder import move_to, weights_digest
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.indexer.system.device import torch_device, torch_devices
from tests.support.models import save_model


def pixels(n: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(n)
    )


@pytest.fixture
def replicas(tiny_model: str) -> list[Encoder]:
    return [load(tiny_model, device="cpu", precision="fp32", batch_size=4) for _ in range(3)]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 12, 31])
def test_vectors_equal_those_of_one_device_in_order(
    replicas: list[Encoder], tiny_encoder: Encoder, n: int
) -> None:
    many, shown = MultiDeviceEncoder(replicas), pixels(n)
    assert (many.dim, many.batch_size, many.info) == (32, 12, tiny_encoder.info)
    got = many.encode_images(shown)
    assert got.shape == (n, 32) and got.dtype == np.float16
    expected = tiny_encoder.encode_images(shown)
    assert np.abs(got.astype(float) - expected.astype(float)).max(initial=0) < 2e-3
    assert (many.encode_texts(["a", "b"]) == tiny_encoder.encode_texts(["a", "b"])).all()


def test_replicas_encode_concurrently(replicas: list[Encoder], monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=30)
    sizes: dict[int, int] = {}
    for place, replica in enumerate(replicas):

        def wait(shown: torch.Tensor, place: int = place, real: object = replica.encode_images) -> np.ndarray:
            sizes[place] = len(shown)
            together.wait()  # breaks unless all three are at work at once
            return real(shown)  # type: ignore[operator]

        monkeypatch.setattr(replica, "encode_images", wait)
    MultiDeviceEncoder(replicas).encode_images(pixels(11))
    assert sizes == {0: 4, 1: 4, 2: 3}


def test_a_replica_without_memory_halves_its_own_batches(
    replicas: list[Encoder], tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replicas[1].model.encode_image

    def small(batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(batch)

    monkeypatch.setattr(replicas[1].model, "encode_image", small)
    many = MultiDeviceEncoder(replicas)
    got = many.encode_images(pixels(12))
    assert np.abs(got.astype(float) - tiny_encoder.encode_images(pixels(12)).astype(float)).max() < 2e-3
    assert [r.batch_size for r in replicas] == [4, 1, 4] and many.batch_size == 9
    monkeypatch.setattr(replicas[1].model, "encode_image", lambda _: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(ImindexError, match="not enough memory for a single picture"):
        many.encode_images(pixels(12))


def test_replicas_are_of_one_encoder(replicas: list[Encoder], tmp_path: Path) -> None:
    other = load(f"local-dir:{save_model(tmp_path / 'm', seed=5)}", device="cpu", precision="fp32")
    with pytest.raises(ImindexError, match="weights"):
        MultiDeviceEncoder([replicas[0], other])
    with pytest.raises(ValueError, match="no replica"):
        MultiDeviceEncoder([])


def test_a_build_by_several_devices(replicas: list[Encoder], works: object, tmp_path: Path) -> None:
    root, many = works({"works/ada": 9, "works/bo": 8}), MultiDeviceEncoder(replicas)  # type: ignore[operator]
    for name, encoder in (("many.h5", many), ("one.h5", replicas[0])):
        lazy = LazyEncoder(lambda encoder=encoder: encoder, encoder.batch_size)
        assert build(list(find([root])), tmp_path / name, lazy).encoded == 17
    with Index(tmp_path / "many.h5") as first, Index(tmp_path / "one.h5") as second:
        difference = np.asarray(first.vectors, float) - np.asarray(second.vectors, float)
        assert (
            np.abs(difference).max() < 2e-3
            and first.column("path").tolist() == second.column("path").tolist()
        )


def test_names_of_several_devices(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ImindexError, match=r"--device cuda:0,cuda:1: this machine has no CUDA devices\. Use"):
        load(tiny_model, device="cuda:0,cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert torch_devices("cuda:1,cuda:0") == [torch.device("cuda:1"), torch.device("cuda:0")]
    assert default_batch_size("cuda:0,cuda:1") == 512 and default_batch_size("cuda:1") == 256
    for name, message in (
        ("cuda:0,cpu", r"only numbered CUDA devices can share the work, and cpu is not one"),
        ("cuda,cuda:1", r"only numbered CUDA devices can share the work, and cuda is not one"),
        ("cuda:0,", r"an empty name is not one"),
        ("cuda:0,cuda:0", r"names a device twice"),
        ("cuda:0,cuda:2", r"this machine has 2 CUDA devices, but no cuda:2"),
    ):
        with pytest.raises(ImindexError, match=rf"--device {name}.*{message}"):
            torch_devices(name)
    with pytest.raises(ImindexError, match=r"names 2 devices, but this runs on one\. Use --device cuda:0"):
        torch_device("cuda:0,cuda:1")


def test_load_puts_a_replica_on_each_device(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "torch_devices", lambda _: [torch.device("cpu"), torch.device("cpu")])
    many = load(tiny_model, device="two", precision="fp32", batch_size=9)
    assert isinstance(many, MultiDeviceEncoder) and [r.batch_size for r in many.replicas] == [5, 5]
    first, second = (replica.model for replica in many.replicas)
    assert first is not second
    alone = load(tiny_model, device="cpu", precision="fp32")
    assert many.info == alone.info
    difference = many.encode_images(pixels(6)).astype(float) - alone.encode_images(pixels(6)).astype(float)
    assert np.abs(difference).max() < 2e-3


def test_fp16_arithmetic_on_the_device_equals_fp32(tiny_model: str) -> None:
    """The arithmetic of the fused CUDA kernel, emulated on the CPU, is within fp16 rounding of the exact values."""
    encoder = load(tiny_model, device="cpu", precision="fp16")
    exact = (pixels(4).double() / 255 - encoder._mean.double()) / encoder._std.double()
    encoder._in_fp16 = True
    got = encoder.prepare(pixels(4))
    assert got.dtype == torch.float16
    assert (got.double() - exact).abs().max() <= 3 * 2.0**-10
    assert len(encoder.encode_images(pixels(4))) == 4


def test_channels_last_and_full_device_error(
    tiny_model: str, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load(tiny_model, device="cpu", precision="fp16")
    encoder._in_fp16 = True
    last = pixels(4).contiguous(memory_format=torch.channels_last)
    assert encoder.prepare(last).is_contiguous(memory_format=torch.channels_last)
    assert (encoder.prepare(last) == encoder.prepare(pixels(4))).all()
    tiny_encoder.model.to(memory_format=torch.channels_last)  # convolutions only change their layout
    try:
        digest = weights_digest(tiny_encoder.model)
    finally:
        tiny_encoder.model.to(memory_format=torch.contiguous_format)
    assert digest == tiny_encoder.info.weights_sha256

    def full(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(ImindexError, match=r"cuda:1 has not enough memory for the weights\. Free it"):
        move_to(torch.nn.Linear(1, 1), torch.device("cuda:1"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_bits_do_not_depend_on_the_order_of_pixels_in_memory(precision: str) -> None:
    """Pictures of some formats, and those that come from another process, have their channels last."""
    encoder = load("demo", None, device="cpu", precision=precision)
    height, width = encoder.preprocess.size
    pixels = torch.randint(0, 256, (9, 3, height, width), dtype=torch.uint8, generator=torch.manual_seed(1))
    expected = encoder.encode_images(pixels)
    assert np.array_equal(encoder.encode_images(pixels.to(memory_format=torch.channels_last)), expected)
