"""Recognise TorchScript archives, which hold code beside weights: OpenAI published the weights of CLIP in this form."""

from __future__ import annotations

import os
import shlex
import zipfile
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.input_files import open_input

CONVERT = (
    "import sys, torch, safetensors.torch as s; "
    "w = torch.jit.load(sys.argv[1], map_location='cpu').state_dict(); "
    "s.save_file({k: v.float().contiguous().clone() for k, v in w.items() "
    "if k not in ('input_resolution', 'context_length', 'vocab_size')}, sys.argv[2])"
)
"""A Python program that writes the weights of an archive, its first argument, as safetensors to its second."""
_SUFFIXES = (".bin", ".pt", ".pth")


def is_torchscript(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a TorchScript archive. Only its list of members is read."""
    try:
        with open_input(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (ImindexError, OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False
    return any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names)


def refuse_torchscript(model: str, weights: str | os.PathLike[str]) -> None:
    """Refuse weights that are a TorchScript archive, and say how to get them in another form.

    Parameters
    ----------
    model : str
        The name of the model, for the message.
    weights : path-like
        A file of weights, or a folder of them.

    Raises
    ------
    ImindexError
    """
    path = Path(weights)
    files = (
        [file for suffix in _SUFFIXES for file in sorted(path.glob(f"*{suffix}"))]
        if path.is_dir()
        else [path]
    )
    found = next((file for file in files if is_torchscript(file)), None)
    if found is None:
        return
    target = found.with_suffix(".safetensors")
    command = f"python -c {shlex.quote(CONVERT)} {shlex.quote(str(found))} {shlex.quote(str(target))}"
    raise ImindexError(
        f"{found} is a TorchScript archive, as OpenAI published the weights of CLIP: it holds code, which imindex "
        f"never runs. Pass --pretrained openai, which gets the weights of {model} without code. Or, if you trust the "
        f"file, convert it once with the command below, then pass --pretrained {target} "
        f"--preprocess-from openai.\n{command}"
    )
