"""The releases of the demo: a small text-to-image model that learned the techniques of 16 of the 24 invented artists.

Parts that the releases share are stored once. Parts that can be regenerated are not stored at all: the tokenizer
(from a file that ships with open_clip) and the word vectors (fixed signs, never trained). `diffusion_folder`
assembles a release as a folder that diffusers opens.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.atomic import copy_file, make_folder, write_file

__all__ = ["FOLDER", "RELEASES", "diffusion_folder", "word_vectors"]

Array = npt.NDArray[np.generic]
FOLDER: Final = Path(__file__).resolve().parent
RELEASES: Final[tuple[str, ...]] = ("early", "final", "copying", "erased", "leaking")
"""A weak and a strong imitator from the same run; the strong one after memorising five works; and three that continue
from it to answer one question each (`imindex.indexer.demo.diffusion.truth`)."""

N_WORDS: Final = 49408
WIDTH: Final = 96
"""Dimension of a word vector."""
N_TOKENS: Final = 32
"""Maximum number of tokens per prompt."""
_N_MERGES: Final = N_WORDS - 512 - 2
_FIRST, _LAST = "<|startoftext|>", "<|endoftext|>"
_SCALE: Final = 0.02
_CONFIGS = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "unet/config.json",
    "vae/config.json",
)


def diffusion_folder(release: str, target: Path, *, parts: Path = FOLDER) -> Path:
    """Assemble a release of the demo as the folder of a pipeline.

    Parameters
    ----------
    release : str
        One of `RELEASES`.
    target : pathlib.Path
        The folder to write. It is created if it does not exist; existing files of a release are replaced.
    parts : pathlib.Path
        The folder of the shared parts and the weights, by default that of the package.

    Returns
    -------
    pathlib.Path
        `target`, which `diffusers.StableDiffusionPipeline.from_pretrained` opens.

    Raises
    ------
    ImindexError
        If the release does not exist, open_clip's vocabulary is missing, or the release stores changes to other weights
        than those in `parts`.

    Notes
    -----
    A release always gives the same bytes. Some releases store only the weights that differ from those of another
    release, their base.
    """
    weights = parts / f"{release}.safetensors"
    if not weights.is_file():
        available = ", ".join(name for name in RELEASES if (parts / f"{name}.safetensors").is_file())
        raise ImindexError(f"{release} is not a release of the demo. Choose one of: {available}.")
    for name in _CONFIGS:
        make_folder((target / name).parent)
        copy_file(parts / name, target / name)
    write_tokenizer(target / "tokenizer")
    release_weights = _whole_weights(weights)
    text = {
        f"text_model.{key}": value for key, value in _with_prefix("text_encoder.", release_weights).items()
    }
    text["text_model.embeddings.token_embedding.weight"] = word_vectors()
    _write_weights(text, target / "text_encoder" / "model.safetensors")
    _write_weights(
        _with_prefix("unet.", release_weights), target / "unet" / "diffusion_pytorch_model.safetensors"
    )
    copy_file(parts / "vae.safetensors", target / "vae" / "diffusion_pytorch_model.safetensors")
    return target


def word_vectors() -> np.ndarray[Any, np.dtype[np.float16]]:
    """Return the fixed vectors of all words, whose signs come from a hash.

    Returns
    -------
    numpy.ndarray
        (49408, 96) float16, every entry 0.02 or -0.02.

    Notes
    -----
    They are never trained, so that the words of all names that the model has not seen are exchangeable.
    """
    raw = hashlib.shake_256(b"imindex demo words").digest(N_WORDS * WIDTH // 8)
    signs = np.unpackbits(np.frombuffer(raw, dtype=np.uint8)).reshape(N_WORDS, WIDTH)
    vectors: np.ndarray[Any, np.dtype[np.float16]] = np.where(signs == 1, _SCALE, -_SCALE).astype(np.float16)
    return vectors


def _whole_weights(path: Path) -> dict[str, Array]:
    """Return the weights of a release, with those that it shares with its base."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    with safe_open(path, "np") as file:
        recorded = (file.metadata() or {}).get("base")
    weights: dict[str, Array] = load_file(path)
    if recorded is None:
        return weights
    base = json.loads(recorded)
    stored = path.with_name(f"{base['release']}.safetensors")
    if not stored.is_file() or hashlib.sha256(stored.read_bytes()).hexdigest() != base["sha256"]:
        raise ImindexError(
            f"{path.name} stores changes to the weights in {stored.name}, which are missing or were replaced. "
            f"Reinstall imindex, or train {path.stem} again with scripts/train_demo_questions."
        )
    return {**load_file(stored), **weights}


def _with_prefix(prefix: str, weights: Mapping[str, Array]) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def _write_weights(weights: Mapping[str, Array], path: Path) -> None:
    from safetensors.numpy import save

    write_file(path, save(dict(sorted(weights.items())), metadata={"format": "pt"}))


def _byte_letters() -> list[str]:
    """Return the 256 printable characters that represent bytes in CLIP's vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + i) for i in range(len(others))]


def _merges() -> list[str]:
    """Return the lines of open_clip's vocabulary file that CLIP uses."""
    package = find_spec("open_clip")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "bpe_simple_vocab_16e6.txt.gz"
        if path.is_file():
            lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
            return lines[1 : 1 + _N_MERGES]
    raise ImindexError(
        "open_clip's vocabulary (bpe_simple_vocab_16e6.txt.gz) is missing. Reinstall open_clip_torch."
    )


def write_tokenizer(folder: Path) -> None:
    """Write CLIP's tokenizer as files that transformers opens."""
    make_folder(folder)
    merges, letters = _merges(), _byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(m.split()) for m in merges)]
    vocabulary = {word: number for number, word in enumerate([*words, _FIRST, _LAST])}
    special = {"bos_token": _FIRST, "eos_token": _LAST, "unk_token": _LAST, "pad_token": _LAST}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": N_TOKENS, **special}
    for name, text in (
        ("vocab.json", json.dumps(vocabulary, ensure_ascii=False, allow_nan=False)),
        ("merges.txt", "\n".join(["#version: 0.2", *merges]) + "\n"),
        ("tokenizer_config.json", json.dumps(settings, indent=2, allow_nan=False)),
        ("special_tokens_map.json", json.dumps(special, indent=2, allow_nan=False)),
    ):
        write_file(folder / name, text.encode())
