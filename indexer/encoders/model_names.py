"""What `--model` and `--pretrained` say -> what open_clip takes."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from imindex.indexer.core.errors import ImindexError

DEMO = "demo"
"""The small encoder that comes with the package (`--model demo`)."""


def absolute(model: str) -> str:
    """A folder or file that is named relative to here is found from anywhere."""
    if model.startswith("local-dir:"):
        return f"local-dir:{Path(model.removeprefix('local-dir:')).absolute()}"
    return str(Path(model).absolute()) if model.endswith(".json") else model


@contextlib.contextmanager
def as_open_clip_name(model: str, pretrained: str | None) -> Iterator[tuple[str, str | None]]:
    """Translate what the user said to what open_clip takes; a JSON file becomes a temporary local-dir."""
    if model == DEMO:
        yield f"local-dir:{Path(__file__).parents[1] / 'demo' / 'clip'}", None
    elif model.endswith(".json"):
        with tempfile.TemporaryDirectory(prefix="imindex-") as folder:
            _local_dir(Path(model), pretrained, Path(folder))
            yield f"local-dir:{folder}", None
    elif ":" in model:
        yield model, None
    else:
        yield model, pretrained


def _local_dir(config: Path, pretrained: str | None, folder: Path) -> None:
    try:
        said = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImindexError(f"{config} cannot be read as a model configuration: {error}.") from error
    if not pretrained or not Path(pretrained).is_file():
        raise ImindexError(f"{config} is a model configuration: pass its weights with --pretrained FILE.")
    if not isinstance(said, dict):
        raise ImindexError(
            f"{config} is not a model configuration: it holds no JSON object. See open_clip's."
        )
    said = said if "model_cfg" in said else {"model_cfg": said}
    (folder / "open_clip_config.json").write_text(json.dumps(said), encoding="utf-8")
    # open_clip looks for these endings only; .pt is read as .bin is.
    suffix = ".safetensors" if pretrained.endswith(".safetensors") else ".bin"
    weights = folder / f"open_clip_model{suffix}"
    try:
        weights.symlink_to(Path(pretrained).resolve())
    except OSError:
        shutil.copyfile(pretrained, weights)
