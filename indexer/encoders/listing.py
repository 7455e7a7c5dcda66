"""What loads encoders here: the back ends of imindex, of other packages and of this program, without importing them."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import asdict, dataclass

from imindex.indexer.encoders.plugins import faults, plugins
from imindex.indexer.encoders.registry import BACKENDS
from imindex.indexer.system.input_files import read_text

TAKES = {
    "open_clip": "demo, or ViT-B-32 and every name of open_clip with a tag or file in --pretrained; "
    "local-dir:FOLDER; hf-hub:ORG/REPO; a JSON configuration",
    "csd": "csd with the authors' file in --pretrained",
    "megastyle": "megastyle with the authors' file in --pretrained",
    "sscd": "sscd with the authors' file in --pretrained",
    "timm": "demo-style, or timm:NAME, also with a file in --pretrained; timm:local-dir:FOLDER",
    "transformers": "transformers:FOLDER or transformers:ORG/REPO (safetensors)",
}
"""What `--model` takes, for back ends of imindex. Of any other only the name is known, which it takes at least."""


@dataclass(frozen=True)
class BackEnd:
    """A back end.

    Attributes
    ----------
    name : str
        What `--model` starts with.
    takes : str
        What `--model` takes.
    description : str
        First paragraph of the module's documentation.
    origin : str
        imindex, the name and version of another package, or "this program".
    module : str
    needs : str
        What is missing to use it, or empty.
    """

    name: str
    takes: str
    description: str
    origin: str
    module: str
    needs: str

    def as_dict(self) -> dict[str, str]:
        """Return the fields by their names."""
        return asdict(self)


def back_ends() -> list[BackEnd]:
    """Return every back end, those of imindex first. No module of a back end is imported."""
    listed = [
        (name, module, "imindex" if module.startswith("imindex.") else "this program")
        for name, module in BACKENDS.items()
    ]
    own = [
        BackEnd(name, TAKES.get(name, name), _description(module), origin, module, _missing(module))
        for name, module, origin in listed
    ]
    # The module of another package is not looked up: that would import the packages around it.
    others = [BackEnd(one.name, one.name, "", one.package, one.module, _fault(one.name)) for one in plugins()]
    return [*own, *others]


def _fault(name: str) -> str:
    """Return why a back end of another package cannot be used; empty if it can."""
    claims = [one for one in plugins() if one.name == name]
    return next(faults(claims, BACKENDS), "")


def _missing(module: str) -> str:
    return "" if _file(module) else f"the module {module}"


def _file(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return ""
    return (spec and spec.origin) or ""


def _description(module: str) -> str:
    """Return the first paragraph of a module's documentation, read from its source."""
    file = _file(module)
    if not file.endswith(".py"):
        return ""
    try:
        text = ast.get_docstring(ast.parse(read_text(file))) or ""
    except (OSError, SyntaxError, UnicodeError):
        return ""
    return " ".join(text.partition("\n\n")[0].split())
