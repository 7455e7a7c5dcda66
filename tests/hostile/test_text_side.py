"""The text side of an encoder is the one that the index was built with: the tokenizer, and the text tower."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import open_clip
import pytest

from imindex.indexer.build.checkpoint import Batch, Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.probe import PROBE_TEXTS, probe_cosine, tokens_digest, with_text_probe
from imindex.indexer.encoders.registry import differences
from imindex.indexer.integrity.verify import verify
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.forging import with_encoder
from tests.support.hostile_models import save_encoder, swapped_tokenizer
from tests.support.pictures import picture
from tests.support.places import ROOT

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a tokenizer of its own, and an index, i.h5, of a few pictures; do not modify."""
    root = tmp_path_factory.mktemp("text side")
    model = save_encoder(
        root / "model", text={"hf_tokenizer_name": "mine", "tokenizer_kwargs": {"clean": "lower"}}
    )
    swapped_tokenizer(root / "model")
    for number in range(4):
        (root / "art/works/ada").mkdir(parents=True, exist_ok=True)
        (root / "art/imitations/r1/ada").mkdir(parents=True, exist_ok=True)
        picture(number).save(root / f"art/works/ada/{number}.png")
        picture(number + 9).save(root / f"art/imitations/r1/ada/{number}.png")
    run(
        "build", root / "art", "-i", root / "i.h5", "--model", model, "--precision", "fp32", "--device", "cpu"
    )
    return root


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy to modify. The index names the model in the original folder."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_swapped_tokenizer_is_refused(copy: Path) -> None:
    model = f"local-dir:{copy / 'model'}"
    asked = ("query", "--text", "Artwork from ada", "-i", copy / "i.h5", "--model", model, "--device", "cpu")
    run(*asked)
    swapped_tokenizer(copy / "model", letters=ALPHABET[::-1])
    message = (
        r"The index was encoded with .* \(index against this: tokenizer \w{12} against \w{12}\)\. Name that"
    )
    for words in (
        asked,
        ("classify", "-i", copy / "i.h5", "--model", model, "--no-tests"),
        ("build", copy / "art", "-i", copy / "i.h5", "--model", model),
        ("verify", "-i", copy / "i.h5", "--model", model, "--replay", 2),
    ):
        refused = " ".join(run(*words, "--device", "cpu", code=1).output.split())
        assert re.search(message, refused), refused


def test_token_ids_are_digested_as_specified(folder: Path) -> None:
    with h5py.File(folder / "i.h5") as file:
        stored = file["encoder"].attrs["tokens-sha256"]
        probe = np.frombuffer(bytes.fromhex(file["encoder"].attrs["text-probe"]), "<f2")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder / 'model'}")
    ids = json.dumps(tokenizer(list(PROBE_TEXTS)).tolist(), separators=(",", ":"))
    assert stored == hashlib.sha256(ids.encode()).hexdigest()
    assert probe.shape == (32,) and abs(np.linalg.norm(probe.astype(float)) - 1) < 1e-3
    encoder = load(f"local-dir:{folder / 'model'}", device="cpu", precision="fp32")
    assert np.array_equal(probe, encoder.encode_texts(PROBE_TEXTS[:1])[0])


def test_probe_texts_are_those_of_the_format() -> None:
    """They are part of the format: stored digests depend on them."""
    assert tokens_digest([list(text.encode()) for text in PROBE_TEXTS]) == (
        "fbd54558ae3c09ee57759659207ab9ee6cc90392eb5bd0675f669971da445a13"
    )
    page = (ROOT / "indexer/store/FORMAT.md").read_text(encoding="utf-8")
    assert "\n".join([*PROBE_TEXTS[:-1], PROBE_TEXTS[-1].split()[0] + " ..."]) in page
    assert PROBE_TEXTS[-1] == "antidisestablishmentarianism " * 40


@pytest.mark.parametrize("change", [lambda ids: ids + 1, lambda ids: ids[:, :-1], lambda ids: ids.flip(1)])
def test_every_change_of_token_ids_is_another_tokenizer(change: object) -> None:
    ids = open_clip.get_tokenizer("ViT-B-32")(list(PROBE_TEXTS))
    assert tokens_digest(ids.tolist()) != tokens_digest(change(ids).tolist())  # type: ignore[operator]


def test_the_text_tower_is_replayed(copy: Path, folder: Path) -> None:
    index, model = copy / "i.h5", f"local-dir:{folder / 'model'}"
    words = ("--model", model, "--device", "cpu", "--replay", "all", "--root", copy)
    sound = run("verify", "-i", index, *words)
    assert "was encoded again: the cosine is 1.000000" in " ".join(sound.stdout.split())
    assert json.loads(run("verify", "-i", index, *words, "--json").stdout)["replay-text"] == pytest.approx(1)
    other = np.roll(np.eye(1, 32, dtype="<f2")[0], 3).tobytes().hex()
    for probe in (other, "not hexadecimal", "00" * 64, "00", np.full(32, np.nan, "<f2").tobytes().hex()):
        forged = with_encoder(index, copy / "forged.h5", text_probe=probe)
        assert verify(forged).faults == []  # the digests are right
        said = run("verify", "-i", forged, *words, code=3).stdout
        assert "fault   encoder/text-probe: the vector differs from the encoder's" in said


def test_index_without_them_opens_as_before(copy: Path, folder: Path) -> None:
    model = f"local-dir:{folder / 'model'}"
    old = with_encoder(copy / "i.h5", copy / "old.h5", tokens_sha256="", text_probe="")
    with h5py.File(old) as file:
        assert not {"tokens-sha256", "text-probe"} & set(file["encoder"].attrs)
    run("query", "--text", "Artwork from ada", "-i", old, "--model", model, "--device", "cpu")
    words = ("--model", model, "--device", "cpu", "--replay", "all", "--root", copy)
    said = " ".join(run("verify", "-i", old, *words).stdout.split())
    assert "The text side was not compared, because the index stores no vector of a text." in said
    picture(77).save(copy / "art/works/ada/new.png")
    run("build", copy / "art", "-i", old, "--model", model, "--device", "cpu")
    with Index(old) as index:
        assert index.n == 9 and (index.encoder.tokens_sha256, index.encoder.text_probe) == ("", "")


def test_identity_of_older_indexes_is_unchanged(folder: Path) -> None:
    with Index(folder / "i.h5") as index:
        info = index.encoder
    old = replace(info, tokens_sha256="", text_probe="")
    assert set(info.identity()) - set(old.identity()) == {"tokens-sha256"}
    assert "text-probe" not in info.identity()
    assert differences(old, info) == differences(info, old) == []
    assert differences(info, replace(info, text_probe="00")) == []
    assert differences(info, replace(info, tokens_sha256="0" * 64)) != []
    with pytest.raises(ImindexError, match=r"tokenizer 0{12} against"):
        load_as(replace(info, tokens_sha256="0" * 64), device="cpu")


def test_build_interrupted_before_format_1_2_is_resumed(folder: Path, tmp_path: Path) -> None:
    with Index(folder / "i.h5") as index:
        info = index.encoder
    batch = Batch([bytes(range(32))], [np.zeros(32, np.float16)], [(1, 1)])
    with Parts(tmp_path / "i.h5", replace(info, tokens_sha256="")) as parts:
        parts.append(batch)
    with Parts(tmp_path / "i.h5", info) as parts:
        assert len(parts.numbers) == 1
    other = replace(info, tokens_sha256="0" * 64, weights_sha256="0" * 64)
    with pytest.raises(ImindexError, match="another encoder"), Parts(tmp_path / "i.h5", other):
        pass


def test_encoder_without_a_text_side_has_no_probe(tiny_model: str) -> None:
    encoder = load(tiny_model, device="cpu", precision="fp32")
    with_text = with_text_probe(encoder)
    assert probe_cosine(with_text, encoder) == pytest.approx(1, abs=1e-3)
    encoder.has_text = False
    assert with_text_probe(encoder).text_probe == "" and probe_cosine(with_text, encoder) is None
