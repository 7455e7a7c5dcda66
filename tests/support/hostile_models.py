"""Models whose own code, if anything runs it, creates a file. Encoders as open_clip takes them, and their parts."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from tests.support.models import TINY, save_model

BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 128,
    "max_position_embeddings": 32,
}
"""A plain text tower, as its config.json says it."""


class Touch:
    """Creates a file when unpickled; it could run any other code."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def save_zip(mark: Path, path: Path) -> None:
    torch.save({"state_dict": {"visual.proj": Touch(mark)}}, path)


def save_legacy(mark: Path, path: Path) -> None:
    torch.save({"state_dict": Touch(mark)}, path, _use_new_zipfile_serialization=False)


def save_pickle(mark: Path, path: Path) -> None:
    path.write_bytes(pickle.dumps(Touch(mark)))


PICKLES = (save_zip, save_legacy, save_pickle)


def code(mark: Path) -> str:
    """Return a module that creates the file as soon as it is imported, and has classes of every name used here."""
    names = ("Evil", "EvilConfig", "EvilModel", "EvilTokenizer", "Pipeline", "UNet2DConditionModel")
    classes = "".join(f"class {name}:\n    pass\n" for name in names)
    return f"from pathlib import Path\nPath({str(mark)!r}).touch()\n{classes}"


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def evil_folder(folder: Path, mark: Path, *, config: dict[str, Any], tokenizer: dict[str, Any]) -> Path:
    """Write what transformers loads: a configuration, a tokenizer, and a module that both may name."""
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", tokenizer)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]))
    (folder / "evil.py").write_text(code(mark))
    return folder


def save_encoder(folder: Path, *, text: dict[str, Any] | None = None, **config: Any) -> str:
    """Write a tiny model with another text tower or configuration, and return its name."""
    save_model(folder)
    changed = {**TINY, **config, "text_cfg": {**TINY["text_cfg"], **(text or {})}}
    write_json(folder / "open_clip_config.json", {"model_cfg": changed, "preprocess_cfg": {}})
    return f"local-dir:{folder}"


@dataclass(frozen=True)
class Attack:
    """An encoder that tries to run code, or to load what it should not.

    Attributes
    ----------
    name : str
    write : callable
        Takes a folder and the file that its code creates; returns model and pretrained.
    """

    name: str
    write: Callable[[Path, Path], tuple[str, str | None]]


def _tokenizer(arguments: dict[str, Any], *, custom_text: bool = False) -> Callable[[Path, Path], Any]:
    def write(folder: Path, mark: Path) -> tuple[str, None]:
        more = {"custom_text": True} if custom_text else {}
        text = {"hf_tokenizer_name": "bert-base-uncased", "tokenizer_kwargs": arguments}
        model = save_encoder(folder, text=text, **more)
        evil_folder(
            folder, mark, config=BERT, tokenizer={"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
        )
        return model, None

    return write


def _tokenizer_config(arguments: dict[str, Any]) -> Callable[[Path, Path], Any]:
    """The tokenizer's folder names a configuration class of its own."""

    def write(folder: Path, mark: Path) -> tuple[str, None]:
        text = {"hf_tokenizer_name": "bert-base-uncased", "tokenizer_kwargs": arguments}
        model = save_encoder(folder, text=text)
        config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
        evil_folder(folder, mark, config=config, tokenizer={})
        return model, None

    return write


def _tower(config: dict[str, Any]) -> Callable[[Path, Path], Any]:
    def write(folder: Path, mark: Path) -> tuple[str, None]:
        tower = evil_folder(folder / "tower", mark, config=config, tokenizer={})
        text = {"hf_model_name": str(tower), "hf_tokenizer_name": "bert-base-uncased", "hf_proj_type": "mlp"}
        return save_encoder(folder, text=text), None

    return write


def _pickled_tower(folder: Path, mark: Path) -> tuple[str, None]:
    """No weights of the whole model, so that those of the text tower are looked for: a pickle."""
    tower = evil_folder(folder / "tower", mark, config=BERT, tokenizer={})
    save_zip(mark, tower / "pytorch_model.bin")
    text = {"hf_model_name": str(tower), "hf_tokenizer_name": "bert-base-uncased", "hf_proj_type": "mlp"}
    model = save_encoder(folder, text=text)
    (folder / "open_clip_model.safetensors").unlink()
    return model, None


def _timm(scheme: str) -> Callable[[Path, Path], Any]:
    def write(folder: Path, mark: Path) -> tuple[str, None]:
        trunk = folder / "trunk"
        write_json(trunk / "config.json", {"architecture": "resnet10t", "num_classes": 4})
        save_zip(mark, trunk / "pytorch_model.bin")
        vision = {"timm_model_name": f"{scheme}{trunk}", "timm_model_pretrained": True, "image_size": 32}
        return save_encoder(folder, vision_cfg=vision), None

    return write


def _weights(name: str, save: Callable[[Path, Path], None]) -> Callable[[Path, Path], Any]:
    """A folder whose weights are a pickle."""

    def write(folder: Path, mark: Path) -> tuple[str, None]:
        model = save_encoder(folder)
        (folder / "open_clip_model.safetensors").unlink()
        save(mark, folder / name)
        return model, None

    return write


def _file(
    name: str, save: Callable[[Path, Path], None], *, model: str = "ViT-B-32"
) -> Callable[[Path, Path], Any]:
    """A file of weights for a model that open_clip knows, or for a configuration."""

    def write(folder: Path, mark: Path) -> tuple[str, str]:
        folder.mkdir()
        save(mark, folder / name)
        if model.endswith(".json"):
            write_json(folder / model, TINY)
        return str(folder / model) if model.endswith(".json") else model, str(folder / name)

    return write


def save_torchscript(mark: Path, path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))


def save_arrays(mark: Path, path: Path) -> None:
    """Weights of big_vision, as NumPy stores arrays of objects: a pickle."""
    with path.open("wb") as file:
        np.savez(file, **{"params/img/embedding/kernel": np.array([Touch(mark)], object)})


def _merges(folder: Path, mark: Path) -> tuple[str, None]:
    """The tokenizer reads a file that the configuration names."""
    elsewhere = folder.parent / "elsewhere.gz"
    elsewhere.write_bytes(gzip.compress(b"a b\n" * 60_000))
    return save_encoder(folder, text={"tokenizer_kwargs": {"bpe_path": str(elsewhere)}}), None


def _text(**values: Any) -> Callable[[Path, Path], Any]:
    return lambda folder, mark: (save_encoder(folder, text=values), None)


def _config(**values: Any) -> Callable[[Path, Path], Any]:
    return lambda folder, mark: (save_encoder(folder, **values), None)


_TRUST = {"trust_remote_code": True}
_OWN_CONFIG = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
ENCODERS = (
    Attack("tokenizer with trust_remote_code", _tokenizer(_TRUST)),
    Attack("tokenizer with trust_remote_code and custom_text", _tokenizer(_TRUST, custom_text=True)),
    Attack("tokenizer config with trust_remote_code", _tokenizer_config(_TRUST)),
    Attack("tokenizer config with auto_map", _tokenizer_config({})),
    Attack("tokenizer with code_revision", _tokenizer({"code_revision": "main"})),
    Attack("tokenizer from GGUF", _tokenizer({"gguf_file": "evil.gguf"})),
    Attack("tokenizer with a nested argument", _tokenizer({"clean": {"a": 1}})),
    Attack("tokenizer that reads a file", _merges),
    Attack("tokenizer with a pattern", _text(tokenizer_kwargs={"additional_special_tokens": ["(a+)+$"]})),
    Attack("tokenizer arguments that are a list", _text(tokenizer_kwargs=["trust_remote_code"])),
    Attack("text tower with auto_map", _tower(_OWN_CONFIG)),
    Attack("text tower of a known type with auto_map", _tower({**BERT, "auto_map": {"AutoModel": "evil.EvilModel"}})),
    Attack("text tower with a kernel", _tower({**BERT, "attn_implementation": "evil/kernel"})),
    Attack("text tower of another type", _tower({**BERT, "model_type": "rag"})),
    Attack("quantized text tower", _tower({**BERT, "quantization_config": {"quant_method": "quark"}})),
    Attack("huge text tower", _tower({**BERT, "hidden_size": 1 << 40})),
    Attack("text tower of a negative size", _tower({**BERT, "num_hidden_layers": -1})),
    Attack("pickled text tower", _pickled_tower),
    Attack("text tower named by a number", _text(hf_model_name=3)),
    Attack("tokenizer named by a path", _text(hf_tokenizer_name="/no/such folder")),
    Attack("timm from a folder", _timm("local-dir:")),
    Attack("timm from the hub", _timm("hf-hub:")),
    Attack("timm from a path", _timm("")),
    Attack("huge width", _config(vision_cfg={**TINY["vision_cfg"], "width": 1 << 40})),
    Attack("huge picture", _config(vision_cfg={**TINY["vision_cfg"], "image_size": 9000})),
    Attack("huge vocabulary", _text(vocab_size=10**12)),
    Attack("negative layers", _text(layers=-1)),
    Attack("sizes that are texts", _text(width="32")),
    Attack("a list as configuration", lambda folder, mark: (_replaced(save_encoder(folder), [1, 2]), None)),
    Attack("a text as tower", _config(vision_cfg="ViT")),
    *(
        Attack(f"{name} by {save.__name__}", _weights(name, save))
        for name in ("open_clip_pytorch_model.bin", "model.pth", "open_clip_model.safetensors")
        for save in PICKLES
    ),
    *(
        Attack(f"{name} for {model} by {save.__name__}", _file(name, save, model=model))
        for model, names in (("ViT-B-32", ("evil.pt",)), ("model.json", ("evil.pt", "evil.bin", "evil.safetensors")))
        for name in names
        for save in (*PICKLES, save_torchscript)
    ),
    Attack("arrays of objects", _file("evil.npz", save_arrays)),
)  # fmt: skip


HARMLESS = Attack("tokenizer of a known class with auto_map", _tokenizer({}))
"""transformers has a class for it, so it loads, and its own code stays out."""


def _replaced(model: str, config: object) -> str:
    write_json(
        Path(model.removeprefix("local-dir:")) / "open_clip_config.json",
        {"model_cfg": config, "preprocess_cfg": {}},
    )
    return model


def swapped_tokenizer(folder: Path, *, letters: str = "abcdefghijklmnopqrstuvwxyz") -> Path:
    """Write a model with a tokenizer of its own: the place of a letter in `letters` is its token id."""
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {
            token: place
            for place, token in enumerate(
                ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
            )
        },
    }
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": model,
        },
    )
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"},
    )
    write_json(folder / "config.json", {"model_type": "bert"})
    return folder


def lora_file(path: Path, *, metadata: dict[str, str] | None = None, rank: int = 2) -> Path:
    """Write a LoRA for the attention of the tiny pipelines, in the form that diffusers saves."""
    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    weights = {
        f"{layer}.lora_A.weight": torch.zeros(rank, 32),
        f"{layer}.lora_B.weight": torch.zeros(32, rank),
    }
    safetensors.torch.save_file(weights, path, metadata=metadata or {"format": "pt"})
    return path
