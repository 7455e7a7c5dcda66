"""`imindex doctor --encoder`: what an encoder is, and whether it computes a published vector."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.doctor.encoder import describe
from imindex.indexer.doctor.published_vector import (
    PROBE,
    compare,
    probe,
    read_expected,
    vector_of,
    write_expected,
)
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load
from tests.support.commands import run
from tests.support.models import TINY, save_model

LOAD = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Encoder]:
    name = f"local-dir:{save_model(tmp_path_factory.mktemp('vector') / 'tiny', seed=11)}"
    return name, load(name, **LOAD)


def write(path: Path, **content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_the_probe_is_what_its_formula_says() -> None:
    picture = probe()
    assert picture.shape == (360, 480, 3) and picture.dtype == np.uint8
    for x, y in ((0, 0), (479, 359), (41, 3), (40, 40), (123, 321), (300, 17)):
        blue = 255 if (x // 40 + y // 40) % 2 else x * y % 256
        assert picture[y, x].tolist() == [x * 255 // 479, y * 255 // 359, blue]


def test_the_vector_of_the_probe_is_that_of_open_clip(tiny: tuple[str, Encoder], tmp_path: Path) -> None:
    """A publisher without imindex computes it with open_clip alone."""
    name, encoder = tiny
    network, _, prepare = open_clip.create_model_and_transforms(name)
    with torch.no_grad():
        theirs = network.eval().encode_image(prepare(Image.fromarray(probe()))[None])[0].tolist()
    file = write(tmp_path / "theirs.json", picture=PROBE, vector=theirs, source="open_clip", tolerance=0.9999)
    check = compare(encoder, read_expected(file))
    assert check.status == "ok" and check.figures["cosine"] >= 0.9999 and "of open_clip" in check.said
    scaled = write(
        tmp_path / "scaled.json", vector=[7.5 * value for value in theirs]
    )  # length does not matter
    assert compare(encoder, read_expected(scaled)).figures["cosine"] == pytest.approx(check.figures["cosine"])
    turned = write(tmp_path / "turned.json", vector=[-value for value in theirs])
    assert compare(encoder, read_expected(turned)).figures["cosine"] == pytest.approx(-1, abs=1e-3)


def test_a_written_vector_is_read_again_and_another_encoder_fails(
    tiny: tuple[str, Encoder], tmp_path: Path
) -> None:
    _, encoder = tiny
    file = tmp_path / "own.json"
    assert write_expected(encoder, file).status == "ok"
    own = compare(encoder, read_expected(file))
    assert own.status == "ok" and own.figures["cosine"] == pytest.approx(1, abs=1e-9)
    assert json.loads(file.read_text())["encoder"]["weights-sha256"] == encoder.info.weights_sha256
    other = load(f"local-dir:{save_model(tmp_path / 'other', seed=12)}", **LOAD)
    failed = compare(other, read_expected(file))
    assert failed.status == "fault" and failed.figures["cosine"] < 0.999 and failed.remedy
    config = tmp_path / "half.json"
    config.write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {"resize_mode": "squash"}}))
    weights = Path(encoder.info.model.removeprefix("local-dir:")) / "open_clip_model.safetensors"
    squashed = load(str(config), str(weights), **LOAD)  # the same weights, resized in another way
    assert compare(squashed, read_expected(file)).figures["cosine"] < own.figures["cosine"]
    short = compare(encoder, read_expected(write(tmp_path / "short.json", vector=[1.0, 2.0])))
    assert short.status == "fault" and "2 dimensions, and this encoder 32" in short.said


def test_a_picture_beside_the_file(tiny: tuple[str, Encoder], tmp_path: Path) -> None:
    _, encoder = tiny
    (tmp_path / "art").mkdir()
    shown = Image.fromarray(np.random.default_rng(3).integers(0, 256, (50, 70, 3), np.uint8))
    shown.save(tmp_path / "art" / "one.png")
    vector = vector_of(encoder, "art/one.png", tmp_path).tolist()
    file = write(tmp_path / "v.json", picture="art/one.png", vector=vector, tolerance=1)
    assert compare(encoder, read_expected(file)).status == "ok"
    (tmp_path / "art" / "one.png").write_bytes(b"not a picture")
    with pytest.raises(ImindexError, match="is not a picture"):
        compare(encoder, read_expected(file))
    (tmp_path / "art" / "one.png").unlink()
    with pytest.raises(ImindexError, match="cannot be read"):
        compare(encoder, read_expected(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as a published vector"), ("[]", "not a JSON object"), ("{}", "vector is not a list"),
        ('{"vector": []}', "vector is not a list"), ('{"vector": [1, true]}', "vector is not a list"),
        ('{"vector": ["1"]}', "vector is not a list"), ('{"vector": [NaN]}', "cannot be read"),
        ('{"vector": [1e999]}', "cannot be read"), ('{"vector": [0, 0]}', "no direction"),
        ('{"vector": [1], "tolerance": 0}', "tolerance is 0"), ('{"vector": [1], "tolerance": 2}', "tolerance is 2"),
        ('{"vector": [1], "tolerance": "high"}', "tolerance is"), ('{"vector": [1], "source": 3}', "source is not"),
        ('{"vector": [1], "picture": "/etc/passwd"}', "neither probe nor a path inside"),
        ('{"vector": [1], "picture": "../x.png"}', "neither probe nor"),
        ('{"vector": [1], "picture": "http://x.invalid/a.png"}', "neither probe nor"),
        ('{"vector": [1], "picture": ""}', "neither probe nor"), ('{"vector": [1], "picture": 3}', "neither probe nor"),
    ],
)  # fmt: skip
def test_other_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(content)
    with pytest.raises(ImindexError, match=message):
        read_expected(tmp_path / "v.json")


def test_what_an_encoder_is(tiny: tuple[str, Encoder]) -> None:
    name, encoder = tiny
    by_name = {check.name: check for check in describe(encoder)}
    assert encoder.info.weights_sha256 in by_name["identity"].said and "open_clip" in by_name["identity"].said
    assert by_name["identity"].figures["identity"] == encoder.info.identity()
    assert "size 32 x 32; mean 0.4815, 0.4578, 0.4082" in by_name["preprocessing"].said
    assert "As the weights or their name state it" in by_name["preprocessing"].said
    assert "up to 16 tokens" in by_name["reads"].said
    image = {check.name: check for check in describe(load(f"{name}?tower=image", **LOAD))}
    assert "no text side" in image["reads"].said


def test_the_command(tiny: tuple[str, Encoder], tmp_path: Path) -> None:
    name, _ = tiny
    file = tmp_path / "own.json"
    written = run("doctor", "--encoder", name, "--device", "cpu", "--write-expect", file)
    assert "Wrote the vector of the probe, 32 numbers" in " ".join(written.stdout.split())
    assert "faiss" not in written.stdout.casefold()  # the machine is not examined
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "vector": content["vector"][::-1]}))
    failed = run("doctor", "--encoder", name, "--device", "cpu", "--expect", file, "--json", code=3)
    checks = {check["name"]: check for check in json.loads(failed.stdout)["checks"]}
    assert set(checks) >= {
        "encoder",
        "identity",
        "preprocessing",
        "reads",
        "vectors",
        "batches",
        "published vector",
    }
    assert [name for name, check in checks.items() if check["status"] == "fault"] == ["published vector"]
    assert "another vector than the one" in checks["published vector"]["said"]
    assert "ViT-Z-99" in run("doctor", "--encoder", "ViT-Z-99", "--device", "cpu", code=1).stderr
    for words in (
        ["--expect", file],
        ["--encoder", name, "-i", "x.h5"],
        ["--encoder", name, "--model", "demo"],
    ):
        run("doctor", *words, code=2)
    file.write_text("{}")
    assert "vector is not" in run("doctor", "--encoder", name, "--expect", file, code=1).stderr


def test_the_probe_survives_lossless_files() -> None:
    file = io.BytesIO()
    Image.fromarray(probe()).save(file, "PNG")
    assert (np.asarray(Image.open(file)) == probe()).all()
