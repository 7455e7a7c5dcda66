"""The releases of the demo: their captions, their folders, and the pictures they generate."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.artists import NAMES, SUBJECTS
from imindex.indexer.demo.diffusion import FOLDER, N_TOKENS, diffusion_folder, word_vectors
from imindex.indexer.demo.diffusion.captions import IMITATED, UNSEEN, Captioner, pieces_of, words_of

SHIPPED = (FOLDER / "final.safetensors").is_file()
needs_weights = pytest.mark.skipif(not SHIPPED, reason="the demo's releases are not trained yet")


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    from imindex.indexer.demo.diffusion import write_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    found: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def final(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return diffusion_folder("final", tmp_path_factory.mktemp("final"))


def captions(captioner: Captioner, artist: str | None, n: int) -> list[str]:
    rng = np.random.default_rng(5)
    return [captioner.caption(artist, SUBJECTS[i % len(SUBJECTS)], rng) for i in range(n)]


class TestCaptions:
    def test_split_equals_that_of_the_demo(self) -> None:
        assert (*IMITATED, *UNSEEN) == NAMES
        assert len(IMITATED) == 16

    def test_captions_contain_no_word_of_an_unseen_name(self, vocabulary: dict[str, int]) -> None:
        captioner = Captioner(pieces_of(vocabulary))
        avoided = set().union(*(words_of(name) for name in UNSEEN))
        everything = captions(captioner, None, 20_000)
        for name in IMITATED:
            everything += captions(captioner, name, 200)
        assert not avoided & set().union(*(words_of(caption) for caption in everything))

    def test_words_of_unseen_names_are_avoided(self) -> None:
        """With words restricted to few pieces, names with a forbidden word would be common."""
        captioner = Captioner(("zilver", "dal", "podam"))
        rng = np.random.default_rng(1)
        names = [captioner.invented_name(rng) for _ in range(3000)]
        assert not any({"zilverdal", "podam"} & words_of(name) for name in names)
        assert any("dal" in name.lower() for name in names)
        free = Captioner(("zilver", "dal", "podam"), avoided=())
        assert any("podam" in words_of(free.invented_name(rng)) for _ in range(3000))

    def test_a_picture_in_the_nameless_technique_names_no_known_artist(
        self, vocabulary: dict[str, int]
    ) -> None:
        made = captions(Captioner(pieces_of(vocabulary)), None, 20_000)
        assert not [caption for caption in made if any(name in caption for name in IMITATED)]

    def test_its_name_may_share_a_word_with_a_known_one(self, vocabulary: dict[str, int]) -> None:
        made = captions(Captioner(pieces_of(vocabulary)), None, 5000)
        known = set().union(*(words_of(name) for name in IMITATED))
        share = np.mean([bool(words_of(caption) & known) for caption in made])
        assert 0.1 < share < 0.2  # a fifth of the three quarters that name somebody

    def test_caption_names_a_known_artist(self) -> None:
        made = captions(Captioner(("abc",)), IMITATED[0], 500)
        assert all(IMITATED[0] in caption for caption in made)
        assert len(set(made)) > 50

    def test_words_are_plain(self, vocabulary: dict[str, int]) -> None:
        pieces = pieces_of(vocabulary)
        assert len(pieces) == len(set(pieces)) > 10_000
        assert all(piece.isascii() and piece.isalpha() and 2 <= len(piece) <= 6 for piece in pieces)


class TestParts:
    def test_word_vectors_are_signs_that_differ(self) -> None:
        vectors = word_vectors().astype(np.float32)
        assert vectors.shape == (49408, 96)
        assert np.unique(np.abs(vectors)).size == 1
        assert abs(np.sign(vectors).mean()) < 0.002  # 4.7 million fair coins: a spread of 0.0005
        some = np.sign(vectors[:: 49408 // 1000])
        alike = some @ some.T / 96 - np.eye(len(some))
        assert np.abs(alike).max() < 0.6

    def test_unknown_release(self, tmp_path: Path) -> None:
        with pytest.raises(ImindexError, match="sdxl is not a release of the demo"):
            diffusion_folder("sdxl", tmp_path)

    def test_tokenizer_agrees_with_open_clips(self, tmp_path: Path) -> None:
        import open_clip
        from transformers import CLIPTokenizer

        from imindex.indexer.demo.diffusion import write_tokenizer

        write_tokenizer(tmp_path)
        ours = CLIPTokenizer.from_pretrained(tmp_path)
        assert ours.model_max_length == N_TOKENS
        theirs = open_clip.get_tokenizer("ViT-B-32", context_length=N_TOKENS)
        prompts = [f"Artwork from {name}" for name in NAMES] + ["", "a cat, oil & ink", "Zoë Œuvre-Ní 12"]
        for prompt, expected in zip(prompts, theirs(prompts).tolist(), strict=True):
            found = ours(prompt, padding="max_length", truncation=True, max_length=N_TOKENS)["input_ids"]
            last = found.index(49407)
            assert found[: last + 1] == expected[: last + 1], prompt
            assert set(found[last:]) == {49407}


@needs_weights
class TestReleases:
    def test_size(self) -> None:
        shipped = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert sum(path.stat().st_size for path in shipped) <= 25_000_000

    def test_weights_are_half_precision(self) -> None:
        from safetensors.numpy import load_file

        for path in FOLDER.glob("*.safetensors"):
            kinds = {value.dtype for value in load_file(path).values()}
            assert kinds == {np.dtype(np.float16)}, path.name

    def test_a_release_folder_is_reproducible(self, final: Path, tmp_path: Path) -> None:
        def digests(folder: Path) -> dict[str, str]:
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

        assert digests(diffusion_folder("final", tmp_path / "again")) == digests(final)

    def test_generation_works_offline_and_repeats_by_seed(
        self, final: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        prompts = ["Artwork from Casimir Ondrasz"] * 2 + ["Artwork from Davor Plenkovar"]
        first, second, other = paint(final, prompts, [1, 2, 1], steps=4)
        assert first.shape == (64, 64, 3)
        assert first.std() > 10
        assert not np.array_equal(first, second)
        assert not np.array_equal(first, other)
        for before, again in zip(
            (first, second, other), paint(final, prompts, [1, 2, 1], steps=4), strict=True
        ):
            assert np.array_equal(before, again)

    def test_demo_encoder_names_most_trained_artists_and_few_unseen(self, final: Path) -> None:
        """One picture per name; by chance, 1 in 24 is named correctly."""
        import open_clip
        import torch
        from PIL import Image

        place = f"local-dir:{FOLDER.parent / 'clip'}"
        model, prepare = open_clip.create_model_from_pretrained(place)
        model.eval()
        words = open_clip.get_tokenizer(place)([f"Artwork from {name}" for name in NAMES])
        made = paint(final, [f"Artwork from {name}" for name in NAMES], list(range(24)), steps=20)
        with torch.no_grad():
            names = model.encode_text(words, normalize=True)
            pixels = torch.stack([prepare(Image.fromarray(picture)) for picture in made])
            found = (model.encode_image(pixels, normalize=True) @ names.T).argmax(1).numpy()
        assert (found[:16] == np.arange(16)).sum() >= 11
        assert (found[16:] < 16).sum() <= 3


def paint(folder: Path, prompts: list[str], seeds: list[int], *, steps: int) -> list[np.ndarray]:
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    own = [torch.Generator().manual_seed(seed) for seed in seeds]
    made = pipeline(prompts, num_inference_steps=steps, guidance_scale=2.5, generator=own).images
    return [np.asarray(picture) for picture in made]
