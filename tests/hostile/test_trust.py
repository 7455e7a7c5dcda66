"""An encoder that only an index names is not loaded: it may be whatever the maker of the index chose."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders import load as loading
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.registry import knows
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.forging import with_encoder
from tests.support.hostile_models import ENCODERS
from tests.support.places import ROOT
from tests.support.two_releases import RELEASES

REFUSED = (
    r"The index names the encoder \S+.* so it is not loaded\..*--model \(and --pretrained\).*--trust-encoder"
)
NAMED = (
    {"model": "hf-hub:nobody/nothing"},
    {"model": "/somewhere/model.json", "pretrained": "/somewhere/weights.pt"},
    {"model": "ViT-B-32", "pretrained": "/somewhere/weights.pt"},
    {"model": "ViT-B-32", "pretrained": "no_such_tag"},
    {"model": "open_clip:local-dir:/somewhere"},
    {"model": "local-dir:weights"},
)


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: no encoder has been named by the user."""
    monkeypatch.setattr(loading, "_named", set())


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that open_clip was asked to read a configuration of."""
    names: list[str] = []
    original = open_clip.get_model_config

    def spy(name: str) -> Any:
        names.append(name)
        return original(name)

    monkeypatch.setattr(open_clip, "get_model_config", spy)
    return names


@pytest.fixture
def foreign(two_releases: Path, tiny_model: str, tmp_path: Path) -> Path:
    """A stranger's index, whose encoder is a folder."""
    assert tiny_model.startswith("local-dir:")
    return with_encoder(two_releases / "i.h5", tmp_path / "foreign.h5")


def commands(index: Path, picture: Path, folder: Path) -> dict[str, tuple[object, ...]]:
    """Every command that loads the encoder of an index."""
    return {
        "query": ("query", picture, "-i", index),
        "query --text": ("query", "--text", "Artwork from ada", "-i", index),
        "classify": ("classify", "-i", index, "--no-tests", "--collection", next(iter(RELEASES))),
        "verify --replay": ("verify", "-i", index, "--replay", 2, "--root", folder),
        "doctor": ("doctor", "-i", index),
        "build": ("build", folder, "-i", index, "--kind", "works"),
        "compare": ("compare", *RELEASES, "-i", index),
    }


@pytest.mark.parametrize("command", commands(Path(), Path(), Path()))
def test_no_command_loads_what_only_the_index_names(
    command: str, foreign: Path, works: Callable[..., Path], created: list[str]
) -> None:
    folder = works({"new": 1}, first_seed=900)
    words = commands(foreign, folder / "new" / "000.png", folder)[command]
    before = foreign.read_bytes()
    refused = run(*words, "--device", "cpu", code=3 if command == "doctor" else 1).output
    assert re.search(REFUSED, " ".join(refused.split())), refused
    assert created == [] and foreign.read_bytes() == before


@pytest.mark.parametrize("command", commands(Path(), Path(), Path()))
@pytest.mark.parametrize("said", ["--model", "--trust-encoder"])
def test_the_user_may_say_so(
    command: str, said: str, foreign: Path, tiny_model: str, works: Callable[..., Path]
) -> None:
    folder = works({"new": 1}, first_seed=900)
    words = commands(foreign, folder / "new" / "000.png", folder)[command]
    more = ("--model", tiny_model) if said == "--model" else (said,)
    code = 3 if command == "verify --replay" else 0  # the pictures lie elsewhere
    assert "is not loaded" not in run(*words, *more, "--device", "cpu", code=code).output


@pytest.mark.parametrize("named", NAMED, ids=lambda named: named["model"])
def test_what_is_not_a_name_of_the_back_end_is_refused(
    named: dict[str, str], built: Path, created: list[str]
) -> None:
    with Index(built) as index:
        info = index.encoder
    with pytest.raises(ImindexError, match=REFUSED):
        load_as(replace(info, **named), device="cpu")
    with pytest.raises(ImindexError, match=REFUSED):
        load_as(info, model=named["model"], pretrained=named.get("pretrained"), device="cpu", trust=False)
    assert created == []


def test_hostile_encoder_of_an_index_is_not_even_read(
    built: Path, tmp_path: Path, created: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, folder = tmp_path / "the code ran", tmp_path / "weights"
    model, _ = ENCODERS[0].write(folder, mark)
    foreign = with_encoder(built, tmp_path / "foreign.h5", model="local-dir:weights")
    monkeypatch.chdir(tmp_path)  # the bundle is unpacked in the current folder
    run("query", "--text", "Artwork from ada", "-i", foreign, code=1)
    assert created == []
    for more in (("--trust-encoder",), ("--model", model)):  # and if the user says so, its code stays out
        run("query", "--text", "Artwork from ada", "-i", foreign, *more, code=1)
    assert created and not mark.exists()


def test_file_with_the_name_of_a_tag_is_not_loaded(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle is unpacked in the current folder, and holds a file that is called as known weights are."""
    weights = tmp_path / "openai"
    weights.write_bytes(b"the stranger's")
    monkeypatch.chdir(tmp_path)
    loaded: list[str] = []
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: loaded.append("the tag's"))
    foreign = with_encoder(built, tmp_path / "foreign.h5", model="ViT-B-32", pretrained="openai")
    refused = run("query", "--text", "Artwork from ada", "-i", foreign, code=1).output
    assert loaded == ["the tag's"] and str(weights) not in refused


@pytest.mark.parametrize(
    ("name", "folder"), [("roberta-ViT-B-32", "roberta-base"), ("ViT-B-16-SigLIP", "timm")]
)
def test_folder_with_the_name_of_a_tokenizer_is_not_loaded(
    name: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = open_clip.get_model_config(name)["text_cfg"]
    for key in ("hf_model_name", "hf_tokenizer_name"):
        if key in text:
            (tmp_path / text[key]).mkdir(parents=True, exist_ok=True)
    assert (tmp_path / folder).exists()
    (tmp_path / "weights.pt").touch()
    with pytest.raises(ImindexError, match=rf"{tmp_path}/{folder}\S* would be loaded in place of {folder}"):
        load(name, str(tmp_path / "weights.pt"), device="cpu")


def test_names_that_are_known_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert knows("demo", None) and knows("ViT-B-32", None) and knows("open_clip:ViT-B-32", "openai")
    for model, pretrained in (
        ("demo", "weights.pt"), ("ViT-B-32", "weights.pt"), ("hf-hub:a/b", None), ("local-dir:demo", None),
        ("model.json", None), ("ViT-Z-99", None), ("", None),
    ):  # fmt: skip
        assert not knows(model, pretrained)
    info = load("demo", device="cpu", precision="fp32").info
    loading._named.clear()
    assert load_as(info, device="cpu").info == info


def test_an_encoder_named_in_this_process_is_trusted(tiny_model: str) -> None:
    info = load(tiny_model, device="cpu", precision="fp32").info
    assert load_as(info, device="cpu").info == info
    loading._named.clear()
    with pytest.raises(ImindexError, match=REFUSED):
        load_as(info, device="cpu")
    load_as(info, device="cpu", trust=True)
    with pytest.raises(ImindexError, match=REFUSED):  # trusting once says nothing about the next index
        load_as(info, device="cpu")


def test_the_table_of_loaders_names_tests_that_exist() -> None:
    page = (ROOT / "indexer/SECURITY.md").read_text(encoding="utf-8")
    rows = [line for line in page.partition("## Models")[2].splitlines() if line.startswith("| ")][1:]
    others = (ROOT / f"tests/indexer/test_{name}.py" for name in ("backends", "transformers"))
    files = [*(ROOT / "tests/hostile").glob("*.py"), *others]
    written = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert len(rows) >= 20
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.rstrip("|").rpartition("|")[2])
        assert named and all(f"def {name}(" in written for name in named), row
