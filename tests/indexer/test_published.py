"""Weights without a configuration: they get what all published weights of their model state, or are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import open_clip.factory
import pytest
import torch

import imindex
from imindex.indexer.core.errors import ImindexError, NoEncoder
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.lazy import preprocess_note
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.open_clip import published
from imindex.indexer.encoders.published import Settings, agreed, taken
from imindex.indexer.encoders.registry import register, require_same
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.models import TINY, save_model
from tests.support.pictures import picture

HALF = Settings((0.5,) * 3, (0.5,) * 3)
LOAD = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights, alone in its folder."""
    folder = tmp_path_factory.mktemp("published")
    saved = save_model(folder / "tiny", seed=5) / "open_clip_model.safetensors"
    return Path(shutil.copy(saved, folder / "weights.safetensors"))


@pytest.fixture
def tiny(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the networks of open_clip's names tiny, and lead their tags to one file.

    What the tags state stays open_clip's. Tokenizers that would be downloaded are open_clip's plain one.
    """
    configs = {
        name: {**TINY, **({"quick_gelu": True} if config.get("quick_gelu") else {})}
        for name, config in open_clip.factory._MODEL_CONFIGS.items()
    }
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", configs)
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: str(weights))
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda *_: open_clip.SimpleTokenizer(context_length=16))


def pixels(n: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(picture(i, (32, 32))).transpose(2, 0, 1) for i in range(n)]))


def same(mine: Encoder, other: Encoder) -> bool:
    assert mine.info.identity() == other.info.identity()
    return bool((mine.encode_images(pixels()) == other.encode_images(pixels())).all())


# The rule


def test_settings_that_all_published_weights_share_are_taken_and_others_refused() -> None:
    assert agreed("m", {"a": HALF, "b": HALF}).settings == HALF
    other = replace(HALF, resize_mode="squash", activation="quick_gelu")
    with pytest.raises(ImindexError) as refused:
        agreed("m", {"a": HALF, "b": other, "c": HALF, "d": replace(HALF, other=(("crop", "0.9"),))})
    message = str(refused.value)
    assert "the 4 published weights of m differ" in message and "--preprocess-from TAG" in message
    assert "a, c: resize_mode shortest, activation unknown" in message
    assert (
        "b: resize_mode squash, activation quick_gelu" in message
        and "d: " in message
        and "crop 0.9" in message
    )
    assert "mean" not in message  # they agree on it
    with pytest.raises(ImindexError, match=r"m has no published weights .*MODEL:TAG"):
        agreed("m", {})


def test_a_choice_names_a_tag_of_the_model_or_of_another() -> None:
    table = {"m": {"a": HALF}, "n": {"b": replace(HALF, resize_mode="longest")}}
    assert taken("m", "a", lambda name: table.get(name, {})).settings == HALF
    assert taken("m", "n:b", lambda name: table.get(name, {})).settings.resize_mode == "longest"
    for choice, said in (("b", "m has the tags a"), ("n:a", "n has the tags b"), ("x:a", "x has none")):
        with pytest.raises(ImindexError, match=f"{choice} names no published weights: {said}"):
            taken("m", choice, lambda name: table.get(name, {}))


def test_what_tags_state_is_what_open_clip_makes_of_them() -> None:
    n = 0
    for name, tag in open_clip.list_pretrained():
        stated = open_clip.get_pretrained_cfg(name, tag)
        merged = open_clip.transform.merge_preprocess_dict(open_clip.transform.PreprocessCfg(), stated)
        mine = published(name)[tag]
        assert (mine.mean, mine.std) == (tuple(merged["mean"]), tuple(merged["std"]))
        assert (mine.interpolation, mine.resize_mode) == (merged["interpolation"], merged["resize_mode"])
        quick = stated.get("quick_gelu") or open_clip.get_model_config(name).get("quick_gelu", False)
        assert (mine.activation == "quick_gelu") == quick
        n += 1
    assert n > 150


# Real names, with tiny networks


@pytest.mark.parametrize(
    "name",
    ["RN50", "ViT-L-14-336", "ViT-L/14@336px", "ViT-B-16-SigLIP", "PE-Core-L-14-336", "ViT-B-16-quickgelu"],
)
def test_a_file_is_loaded_as_the_tags_of_its_model_are_where_they_agree(
    tiny: None, weights: Path, name: str
) -> None:
    known = name.replace("/", "-").replace("@336px", "-336")
    from_file = load(name, str(weights), **LOAD)
    assert "published tag" in from_file.info.preprocess_from
    for tag in open_clip.list_pretrained_tags_by_model(known):
        assert tag in from_file.info.preprocess_from
        by_tag = load(known, tag, **LOAD)
        assert by_tag.info.preprocess_from == ""
        assert same(from_file, by_tag)
    forced = open_clip.get_pretrained_cfg(known, tag).get("quick_gelu", False)
    theirs, _, prepare = open_clip.create_model_and_transforms(known, pretrained=tag, force_quick_gelu=forced)
    shown = picture(7, (32, 32))
    with torch.no_grad():
        expected = theirs.eval().encode_image(prepare(shown)[None]).numpy()[0]
    mine = from_file.encode_images(torch.from_numpy(np.asarray(shown).transpose(2, 0, 1).copy())[None])[
        0
    ].astype(float)
    assert mine @ expected / np.linalg.norm(expected) >= 0.9999


def test_every_name_is_loaded_as_its_tags_or_refused(tiny: None, weights: Path) -> None:
    """Every name of open_clip: the preprocessing and activation of every tag, of a file, and of a chosen tag."""
    counts = {"agree": 0, "differ": 0, "none": 0}
    for name in open_clip.list_models():
        tags = open_clip.list_pretrained_tags_by_model(name)
        seen = {}
        for tag in tags:
            config = open_clip.get_pretrained_cfg(name, tag)
            quick = bool(config.get("quick_gelu") or open_clip.get_model_config(name).get("quick_gelu"))
            seen[tag] = (config["mean"], config["std"], config["interpolation"], config["resize_mode"], quick)
        kind = "none" if not tags else "agree" if len(set(seen.values())) == 1 else "differ"
        counts[kind] += 1
        if kind != "agree":
            with pytest.raises(ImindexError, match="--preprocess-from"):
                load(name, str(weights), **LOAD)
        if kind == "none":
            continue
        if kind == "agree" and counts["agree"] % 12:  # the settings of all, the networks of some
            assert published(name)
            continue
        for choice in (None,) if kind == "agree" else tags[:3]:
            info = load(name, str(weights), preprocess_from=choice, **LOAD).info
            shown = info.preprocess
            assert (
                tuple(shown["mean"]), tuple(shown["std"]), shown["interpolation"], shown["resize_mode"],
                bool(info.config.get("quick_gelu")),
            ) == seen[choice or tags[0]]  # fmt: skip
    assert counts["agree"] > 100 and counts["differ"] >= 6 and counts["none"] > 20


def test_a_chosen_tag_gives_what_the_tag_gives(tiny: None, weights: Path) -> None:
    with pytest.raises(
        ImindexError, match=r"12 published weights of ViT-L-14 differ: openai, .* quick_gelu; .*gelu"
    ):
        load("ViT-L-14", str(weights), **LOAD)
    for tag in ("openai", "laion2b_s32b_b82k", "laion2b-S32B-b82k", "datacomp_xl_s13b_b90k"):
        chosen = load("ViT-L/14", str(weights), preprocess_from=tag, **LOAD)
        assert same(chosen, load("ViT-L-14", tag, **LOAD))
    from_other = load("ViT-S-32", str(weights), preprocess_from="ViT-B/32:openai", **LOAD)
    assert from_other.info.preprocess_from == "the tag openai of ViT-B-32, as chosen"
    assert from_other.info.config["quick_gelu"]
    for arguments, message in (
        (("ViT-S-32", str(weights), None), "ViT-S-32 has no published weights"),
        (("ViT-B-32", "openai", "openai"), "no place beside the tag openai"),
        (("ViT-B-32-quickgelu", str(weights), "ViT-B-32:laion2b_e16"), "activation gelu, and .* quick_gelu"),
        (("demo", None, "ViT-B-32:openai"), "no place beside the preprocess_cfg"),
    ):
        model, pretrained, choice = arguments
        with pytest.raises(ImindexError, match=message):
            load(model, pretrained, preprocess_from=choice, **LOAD)


# Configurations


def test_a_configuration_states_its_preprocessing_or_a_tag_is_chosen(weights: Path, tmp_path: Path) -> None:
    bare, folder = tmp_path / "bare.json", tmp_path / "folder"
    bare.write_text(json.dumps(TINY))
    folder.mkdir()
    shutil.copy(weights, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    half = tmp_path / "half.json"
    half.write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}))
    stated = load(str(half), str(weights), **LOAD)
    assert stated.info.preprocess_from == "" and stated.info.preprocess["mean"] == [0.5] * 3
    with pytest.raises(ImindexError, match="no place beside the preprocess_cfg"):
        load(str(half), str(weights), preprocess_from="ViT-B-32:openai", **LOAD)
    for model, file in ((str(bare), str(weights)), (f"local-dir:{folder}", None)):
        with pytest.raises(ImindexError, match=r"has no preprocess_cfg.*--preprocess-from MODEL:TAG"):
            load(model, file, **LOAD)
        with pytest.raises(ImindexError, match="names no published weights"):
            load(model, file, preprocess_from="openai", **LOAD)
        chosen = load(model, file, preprocess_from="ViT-B-16-SigLIP:webli", **LOAD)
        assert (
            chosen.info.preprocess["resize_mode"] == "squash" and chosen.info.preprocess["mean"] == [0.5] * 3
        )
        assert not chosen.info.config.get("quick_gelu")  # of the configuration


def test_the_configuration_beside_published_weights_is_theirs(
    tiny: None, weights: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copy(weights, tmp_path / "open_clip_model.safetensors"))
    settings = {
        "model_cfg": {**TINY, "quick_gelu": True},
        "preprocess_cfg": {"mean": [0.25] * 3, "std": [0.5] * 3, "resize_mode": "longest"},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(settings))
    beside = load("ViT-L-14", str(file), **LOAD)
    assert beside.info.preprocess_from == "open_clip_config.json beside the weights"
    assert same(beside, load(f"local-dir:{tmp_path}", **LOAD))
    with pytest.raises(ImindexError, match="no place beside"):
        load("ViT-L-14", str(file), preprocess_from="openai", **LOAD)
    settings["model_cfg"] = {**TINY, "embed_dim": 16}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(settings))
    with pytest.raises(ImindexError, match=r"another network than ViT-L-14. Pass --model local-dir"):
        load("ViT-L-14", str(file), **LOAD)


# Indexes


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(3):
        file = tmp_path / "pictures" / "works" / "Ada Example" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(number, (40, 32)).save(file)
    return tmp_path / "pictures"


def test_an_index_records_what_was_taken_and_its_identity_does_not(
    tiny: None, weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_tag, by_file = tmp_path / "tag.h5", tmp_path / "file.h5"
    options = ["--model", "ViT-L-14", "--device", "cpu", "--precision", "fp32"]
    run("build", pictures, "-i", by_tag, *options, "--pretrained", "laion2b_s32b_b82k")
    refused = run("build", pictures, "-i", by_file, *options, "--pretrained", weights, code=1)
    assert "--preprocess-from TAG" in refused.stderr and not by_file.exists()
    built = run(
        "build",
        pictures,
        "-i",
        by_file,
        *options,
        "--pretrained",
        weights,
        "--preprocess-from",
        "laion2b_s32b_b82k",
    )
    assert "the weights do not say how pictures are prepared; mean 0.5/0.5/0.5" in built.stderr.replace(
        "\n", " "
    )
    with Index(by_tag) as tag, Index(by_file) as file:
        assert tag.root_digest == file.root_digest
        assert tag.encoder.preprocess_from == ""
        assert file.encoder.preprocess_from == "the tag laion2b_s32b_b82k of ViT-L-14, as chosen"
    assert "the tag laion2b_s32b_b82k of ViT-L-14" in run("info", "-i", by_file).stdout.replace("\n", " ")
    about = json.loads(run("info", "-i", by_file, "--json").stdout)
    assert about["encoder"]["preprocess-from"] == "the tag laion2b_s32b_b82k of ViT-L-14, as chosen"
    assert "preprocess-from" not in json.loads(run("info", "-i", by_tag, "--json").stdout)["encoder"]
    # the same command again, without and with the choice; another choice is refused
    picture(9, (32, 32)).save(pictures / "works" / "Ada Example" / "more.png")
    again = run("build", pictures, "-i", by_file, *options[:2], "--pretrained", weights, "--device", "cpu")
    assert "Encoded 1 picture" in again.stdout
    run(
        "build",
        pictures,
        "-i",
        by_file,
        *options[:2],
        "--pretrained",
        weights,
        "--preprocess-from",
        "laion2b_s32b_b82k",
    )
    other = run(
        "build",
        pictures,
        "-i",
        by_file,
        *options[:2],
        "--pretrained",
        weights,
        "--preprocess-from",
        "openai",
        code=1,
    )
    assert "preprocessing" in other.stderr
    with Index(by_file) as file:
        assert file.encoder.preprocess_from == "the tag laion2b_s32b_b82k of ViT-L-14, as chosen"


def test_an_index_made_by_the_old_default_keeps_its_encoder(tiny: None, weights: Path) -> None:
    """Before, a file got OpenAI's mean and standard deviation and the activation of the bare name."""
    for name in ("ViT-B-16-SigLIP", "ViT-L-14", "ViT-S-32"):
        theirs, _, _ = open_clip.create_model_and_transforms(name, pretrained=str(weights))
        recorded = load(
            "ViT-B-32", str(weights), preprocess_from="laion2b_e16", **LOAD
        ).info  # OpenAI's, and gelu
        recorded = replace(recorded, model=name, preprocess_from="")
        assert recorded.preprocess["mean"] == list(open_clip.OPENAI_DATASET_MEAN)
        again = load_as(recorded, trust=True, device="cpu")
        require_same(recorded, again.info)
        with torch.no_grad():
            prepared = again.prepare(pixels())
            expected = theirs.eval().encode_image(prepared).numpy()
        mine = again.encode_images(pixels()).astype(float)
        assert ((mine * expected).sum(1) / np.linalg.norm(expected, axis=1)).min() >= 0.9999
        with pytest.raises(NoEncoder, match=r"preprocessing .* against"):
            load_as(recorded, trust=True, device="cpu", preprocess_from="ViT-B-16-SigLIP:webli")


def test_python_takes_the_choice_and_notes_what_was_taken(
    tiny: None, weights: Path, pictures: Path, tmp_path: Path
) -> None:
    notes: list[str] = []
    settings = {"model": "RN50", "pretrained": str(weights), "device": "cpu", "precision": "fp32"}
    imindex.build(pictures, tmp_path / "a.h5", note=notes.append, **settings)
    assert any("quick_gelu from the 3 published tags of RN50, which agree" in note for note in notes)
    imindex.build(pictures, tmp_path / "b.h5", preprocess_from="ViT-B-16-SigLIP:webli", **settings)
    with Index(tmp_path / "a.h5") as a, Index(tmp_path / "b.h5") as b:
        assert a.encoder.preprocess["mean"] != b.encoder.preprocess["mean"] == [0.5] * 3
        assert preprocess_note(b.encoder)
    mine = imindex.Encoder.load("ViT-L-14", str(weights), preprocess_from="openai", **LOAD)
    assert mine.info.config["quick_gelu"]


# Other back ends


def test_a_back_end_without_the_keyword_is_loaded_and_a_choice_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "imindex.indexer.encoders.registry.BACKENDS", {"open_clip": "imindex.indexer.encoders.open_clip"}
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, keyword in (("plainback", ""), ("choosing", "preprocess_from=None, ")):
        (tmp_path / f"{name}.py").write_text(
            "import numpy as np, torch\n"
            "from imindex.indexer.core.schema import EncoderInfo\n"
            "from imindex.indexer.encoders.base import Encoder\n"
            "class Own(Encoder):\n"
            "    def __init__(self, info): self.info, self.device, self.batch_size = info, torch.device('cpu'), 4\n"
            f"def load(model, pretrained, *, {keyword}devices, precision, batch_size):\n"
            f"    source = {'preprocess_from' if keyword else 'None'}\n"
            "    source = source if isinstance(source, str) else type(source).__name__\n"
            "    size = {'size': [8, 8], 'mean': [0.0] * 3, 'std': [1.0] * 3}\n"
            f"    return Own(EncoderInfo(model, '', '0' * 64, {{'backend': '{name}'}}, size, 3, 'fp32',\n"
            "        preprocess_from=source))\n"
        )
        register(name, name)
    loaded = load("plainback", device="cpu")
    assert load_as(loaded.info, device="cpu").info.identity() == loaded.info.identity()
    with pytest.raises(ImindexError, match="plainback takes no --preprocess-from"):
        load("plainback", device="cpu", preprocess_from="a")
    assert load("choosing", device="cpu", preprocess_from="a").info.preprocess_from == "a"
    assert load_as(load("choosing", device="cpu").info, device="cpu").info.preprocess_from == "EncoderInfo"


def test_a_plan_names_the_choice(tmp_path: Path) -> None:
    from imindex.retrieval.audit.plan import read_plan

    run(
        "audit",
        "init",
        tmp_path / "plan.toml",
        "--model",
        "ViT-L/14",
        "--pretrained",
        "w.pt",
        "--preprocess-from",
        "openai",
    )
    plan = read_plan(tmp_path / "plan.toml")
    assert plan.encoders[0].preprocess_from == "openai"
    text = (tmp_path / "plan.toml").read_text()
    without = tmp_path / "without.toml"
    without.write_text(text.replace('preprocess_from = "openai"', ""))
    assert read_plan(without).encoders[0].preprocess_from is None
    assert read_plan(without).digest != plan.digest
