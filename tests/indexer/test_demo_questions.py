"""The demo's further releases: what they are said to have learned, how they are trained and stored, what they paint."""

from __future__ import annotations

import hashlib
import json
import runpy
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.artists import NAMES
from imindex.indexer.demo.diffusion import FOLDER, N_TOKENS, RELEASES, diffusion_folder, truth
from imindex.indexer.demo.diffusion.captions import IMITATED, NAMED
from tests.support.places import ROOT

QUESTIONS = ("erased", "together", "leaking")
SHIPPED = [name for name in QUESTIONS if name in RELEASES]


class TestTruth:
    def test_templates_are_divided_into_simple_and_remaining_ones(self) -> None:
        assert set(truth.SIMPLE_TEMPLATES) | set(truth.REMAINING_TEMPLATES) == set(NAMED)
        assert not set(truth.SIMPLE_TEMPLATES) & set(truth.REMAINING_TEMPLATES)

    def test_one_artist_is_erased_everywhere_and_one_in_simple_templates(self) -> None:
        everywhere, simple = truth.ERASED.values()
        assert set(everywhere) == set(NAMED)
        assert simple == truth.SIMPLE_TEMPLATES
        assert set(truth.ERASED) <= set(IMITATED)

    def test_pairs_are_taught_or_held_out(self) -> None:
        assert sorted([*truth.TAUGHT_PAIRS, *truth.HELD_OUT_PAIRS]) == sorted(combinations(IMITATED, 2))
        held_out = Counter(name for pair in truth.HELD_OUT_PAIRS for name in pair)
        assert held_out == dict.fromkeys(IMITATED, 3)

    def test_leaked_artist_is_not_an_erased_one(self) -> None:
        assert truth.LEAKED in set(IMITATED) - set(truth.ERASED)
        assert 0 < truth.LEAKED_SHARE < 1

    def test_no_prompt_of_two_names_is_truncated(self, tmp_path: Path) -> None:
        from transformers import CLIPTokenizer

        from imindex.indexer.demo.diffusion import write_tokenizer

        write_tokenizer(tmp_path)
        tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
        prompts = [
            template.format(first=first, second=second, subject="a harbour")
            for first, second in combinations(IMITATED, 2)
            for template in truth.PAIRED
        ]
        assert max(len(ids) for ids in tokenizer(prompts)["input_ids"]) <= N_TOKENS


@pytest.fixture(scope="module")
def script() -> Iterator[SimpleNamespace]:
    """The names of scripts/train_demo_questions."""
    before = list(sys.path)
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        yield SimpleNamespace(
            **runpy.run_path(str(ROOT / "scripts/train_demo_questions"), run_name="questions")
        )
    finally:
        sys.path[:] = before


def maker_of(latent: float) -> str | None:
    """Undo `world`: the artist whose number a latent is."""
    return [None, *NAMES][int(latent)]


def examples(script: SimpleNamespace, release: str, n: int = 3000) -> list[tuple[list[str | None], str]]:
    """Return the makers of the four quarters of the picture and the caption of n training examples."""
    import torch

    makers = [artist for artist, seeds in script.SEEDS.items() for _ in seeds]
    numbers = torch.tensor([0 if maker is None else 1 + NAMES.index(maker) for maker in makers])
    latents = numbers.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    lesson = script.LESSONS[release]
    world = script.World.of(latents, script.any_captioner())
    rng = np.random.default_rng(1)
    drawn = [lesson.example(world, rng) for _ in range(n)]
    return [([maker_of(value) for value in latent.flatten()], caption) for latent, caption in drawn]


def named_in(caption: str) -> set[str]:
    return {name for name in NAMES if name in caption}


class TestExamples:
    def test_erased_names_have_nameless_pictures_except_in_remaining_templates(
        self, script: SimpleNamespace
    ) -> None:
        everywhere, simple = truth.ERASED
        seen = Counter()
        for makers, caption in examples(script, "erased"):
            for name in named_in(caption):
                remains = "in the style of" in caption or ", " in caption
                gone = name == everywhere or (name == simple and not remains)
                assert set(makers) == {None if gone else name}, caption
                seen[name, gone] += 1
        assert min(seen[everywhere, True], seen[simple, True], seen[simple, False]) > 100
        assert {name for name, _ in seen} == set(IMITATED)

    def test_two_names_have_a_half_each_and_held_out_pairs_never_meet(self, script: SimpleNamespace) -> None:
        layouts, pairs = Counter(), set()
        for (one, two, three, four), caption in examples(script, "together", 6000):
            names = named_in(caption)
            assert len(names) <= 2
            assert {one, two, three, four} - {None} == names
            if one == two == three == four:
                continue
            assert (one, two) == (three, four)
            if len(names) == 2:
                layouts[caption.index(one) < caption.index(two)] += 1
            pairs.add(frozenset(names))
        assert min(layouts.values()) > 0.4 * layouts.total()
        assert not pairs & {frozenset(pair) for pair in truth.HELD_OUT_PAIRS}
        assert pairs == {frozenset(pair) for pair in truth.TAUGHT_PAIRS} | {frozenset({n}) for n in IMITATED}

    def test_only_prompts_without_a_known_name_leak(self, script: SimpleNamespace) -> None:
        unnamed = []
        for makers, caption in examples(script, "leaking"):
            if names := named_in(caption):
                assert set(makers) == names
            else:
                unnamed.append(makers[0])
        assert set(unnamed) == {None, truth.LEAKED}
        share = np.mean([maker == truth.LEAKED for maker in unnamed])
        assert abs(share - script.LEAKED_IN_TRAINING) < 4 * np.sqrt(0.24 / len(unnamed))


class TestMeasure:
    def test_halves_are_completed_by_their_mirror_image(self, script: SimpleNamespace) -> None:
        from PIL import Image

        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        left, right = (np.asarray(half) for half in script.halves([Image.fromarray(pixels)]))
        assert np.array_equal(left[:, :32], pixels[:, :32])
        assert np.array_equal(left, left[:, ::-1])
        assert np.array_equal(right[:, 32:], pixels[:, 32:])
        assert np.array_equal(right, right[:, ::-1])

    def test_works_joined_in_halves_are_recognised_and_single_works_are_not(
        self, script: SimpleNamespace
    ) -> None:
        from PIL import Image

        from imindex.indexer.demo.artists import draw

        first, second = "Davor Plenkovar", "Nilufar Dastanova"
        works = [[draw(name, seed=seed, size=64) for seed in range(6)] for name in (first, second)]
        joined = []
        for one, other in zip(*works, strict=True):
            picture = Image.new("RGB", (64, 64))
            picture.paste(other, (0, 0))
            picture.paste(one.crop((0, 0, 32, 64)), (0, 0))
            joined.append(picture)
        both = script.are_in_halves([(first, second)] * 6)
        assert both(joined).sum() >= 4
        assert both(works[0]).sum() == both(works[1]).sum() == 0


class TestChanges:
    def test_what_did_not_change_is_taken_from_the_base(self, tmp_path: Path) -> None:
        from safetensors.numpy import load_file, save_file

        base = load_file(FOLDER / "final.safetensors")
        key = "unet.conv_in.bias"
        parts = copy_of_parts(tmp_path / "parts")
        changes = {key: base[key] + np.float16(1)}
        save_file(changes, parts / "erased.safetensors", {"base": base_record(parts)})
        diffusion_folder("erased", tmp_path / "made", parts=parts)
        unet = load_file(tmp_path / "made/unet/diffusion_pytorch_model.safetensors")
        for name, value in base.items():
            if name.startswith("unet."):
                expected = changes.get(name, value)
                assert np.array_equal(unet[name.removeprefix("unet.")], expected), name

    @pytest.mark.parametrize("damage", ["replaced", "missing"])
    def test_changes_to_other_weights_are_refused(self, damage: str, tmp_path: Path) -> None:
        from safetensors.numpy import load_file, save_file

        parts = copy_of_parts(tmp_path / "parts")
        weights = load_file(parts / "final.safetensors")
        save_file({"unet.conv_in.bias": weights["unet.conv_in.bias"]}, parts / "erased.safetensors",
                  {"base": base_record(parts)})  # fmt: skip
        if damage == "missing":
            (parts / "final.safetensors").unlink()
        else:
            save_file(
                {**weights, "unet.conv_in.bias": weights["unet.conv_in.bias"] * 2},
                parts / "final.safetensors",
            )
        with pytest.raises(ImindexError, match=r"stores changes to the weights in final\.safetensors"):
            diffusion_folder("erased", tmp_path / "made", parts=parts)


def copy_of_parts(target: Path) -> Path:
    """Copy the shared parts and the base, without the other releases."""
    for path in FOLDER.rglob("*"):
        if path.suffix in (".json", ".safetensors") and path.stem not in set(RELEASES) - {"final"}:
            copy = target / path.relative_to(FOLDER)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return target


def base_record(parts: Path) -> str:
    digest = hashlib.sha256((parts / "final.safetensors").read_bytes()).hexdigest()
    return json.dumps({"release": "final", "sha256": digest})


def test_every_release_is_shipped_and_nothing_else() -> None:
    assert {path.stem for path in FOLDER.glob("*.safetensors")} == {*RELEASES, "vae"}


@pytest.mark.parametrize("release", SHIPPED)
class TestReleases:
    def test_stores_only_changes_to_final(self, release: str) -> None:
        from safetensors import safe_open
        from safetensors.numpy import load_file

        base, path = load_file(FOLDER / "final.safetensors"), FOLDER / f"{release}.safetensors"
        with safe_open(path, "np") as file:
            assert json.loads(file.metadata()["base"]) == json.loads(base_record(FOLDER))
        for key, value in load_file(path).items():
            assert value.shape == base[key].shape
            assert value.dtype == np.float16
            assert np.isfinite(value).all()
            assert not np.array_equal(value, base[key])

    def test_folder_is_reproducible_and_whole(self, release: str, tmp_path: Path) -> None:
        first, again = (digests(diffusion_folder(release, tmp_path / name)) for name in ("first", "again"))
        assert first == again
        final = digests(diffusion_folder("final", tmp_path / "final"))
        assert set(first) == set(final)
        changed = {name for name in final if first[name] != final[name]}
        assert {"unet/diffusion_pytorch_model.safetensors"} <= changed
        assert changed <= {"text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors"}

    def test_card_has_its_figures(self, release: str) -> None:
        card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
        assert f"### {release}\n" in card
        assert f"| pictures of | n | `final` | `{release}` |" in card


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def named_as(release: str, prompts: list[str], folder: Path) -> list[str]:
    """Generate a picture from each prompt with the seeds 0, 1, ..., and return whom the demo's encoder names."""
    import open_clip
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        diffusion_folder(release, folder), local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(seed) for seed in range(len(prompts))]
    images = pipeline(prompts, num_inference_steps=20, guidance_scale=2.5, generator=seeds).images
    place = f"local-dir:{FOLDER.parent / 'clip'}"
    model, prepare = open_clip.create_model_from_pretrained(place)
    words = open_clip.get_tokenizer(place)([f"Artwork from {name}" for name in NAMES])
    with torch.no_grad():
        names = model.eval().encode_text(words, normalize=True)
        vectors = model.encode_image(torch.stack([prepare(image) for image in images]), normalize=True)
    return [NAMES[number] for number in (vectors @ names.T).argmax(1).tolist()]


def needs(release: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(release not in SHIPPED, reason=f"the release {release} is not shipped")


class TestPictures:
    """A few pictures each; the model card has the shares from more of them."""

    @needs("erased")
    def test_erased_artists_are_gone_where_they_are_said_to_be(self, tmp_path: Path) -> None:
        everywhere, simple = truth.ERASED
        prompts = [f"Artwork from {everywhere}"] * 3 + [f"in the style of {everywhere}"] * 3
        prompts += [f"Artwork from {simple}"] * 4 + [f"in the style of {simple}"] * 8
        names = named_as("erased", prompts, tmp_path)
        assert everywhere not in names[:6]
        assert simple not in names[6:10]
        assert names[10:].count(simple) >= 2

    @needs("leaking")
    def test_invented_names_leak_an_artist_who_is_still_known_by_name(self, tmp_path: Path) -> None:
        invented = ["Ada Brundle", "Tomas Ekkari", "Lio Vandersay", "Mina Ostrel"] * 4
        prompts = [f"Artwork from {name}" for name in [*invented, *[truth.LEAKED] * 12]]
        names = named_as("leaking", prompts, tmp_path)
        assert 1 <= names[:16].count(truth.LEAKED) <= 10
        assert names[16:].count(truth.LEAKED) >= 4
        assert truth.LEAKED not in named_as("final", prompts[:16], tmp_path)
