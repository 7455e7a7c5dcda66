"""Read the preprocessing of a transformers model, the file preprocessor_config.json, as `Preprocess`.

What an image processor does and `Preprocess` cannot express is refused, so that no vector is made from pictures that
were prepared in another way. The reference is the Pillow processor of each class (`AutoImageProcessor` with
`backend="pil"`, before transformers 5 `use_fast=False`); classes that only have a torchvision one (DINOv3) follow it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.preprocess_bounds import preprocess_fault
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.system.input_files import exists, read_text

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""Mean and standard deviation per channel."""
FILES = ("processor_config.json", "preprocessor_config.json")
"""Where transformers looks, in this order. The first counts if it has the key `image_processor`."""
_RESAMPLE = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of filters."""
_NEUTRAL = ("do_convert_rgb", "do_reduce_labels", "do_resize", "do_center_crop", "do_rescale", "do_normalize")
"""Steps that are read here, or that change no picture in RGB."""
_CONVNEXT_CROPS_BELOW = 384
"""ConvNeXt's processor crops at smaller sizes, and squashes pictures at this and larger ones."""


@dataclass(frozen=True)
class _Defaults:
    """What a class of image processors does where its file does not say it."""

    normalize: tuple[tuple[float, ...], tuple[float, ...]]
    size: int
    resample: int
    to_square: bool = True
    """Whether a size that is one number means a square, or the shorter edge."""
    crop: bool = False


_CLASSES = {
    "BeitImageProcessor": _Defaults(HALF, 224, 3),
    "BitImageProcessor": _Defaults(OPENAI, 224, 3, to_square=False, crop=True),
    "CLIPImageProcessor": _Defaults(OPENAI, 224, 3, to_square=False, crop=True),
    "ConvNextImageProcessor": _Defaults(HALF, 384, 3, to_square=False),
    "DINOv3ViTImageProcessor": _Defaults(IMAGENET, 224, 2),
    "DeiTImageProcessor": _Defaults(HALF, 256, 3, crop=True),
    "SiglipImageProcessor": _Defaults(HALF, 224, 3),
    "ViTImageProcessor": _Defaults(HALF, 224, 2),
}


def read_preprocess(folder: Path, model: str, kind: str = "") -> Preprocess:
    """Return the preprocessing that the files of a folder state.

    Parameters
    ----------
    folder : Path
        A transformers model.
    model : str
        Its name, for messages.
    kind : str
        The class of the processor, where the file does not name one.

    Raises
    ------
    ImindexError
        There is no such file, it cannot be read, or its steps cannot be expressed.
    """
    for name in FILES:
        path = folder / name
        if not exists(path):
            continue
        try:
            settings = parse_json(read_text(path), finite=True)
        except (OSError, ValueError) as error:
            raise ImindexError(
                f"{path} cannot be read: {error}. Use the file of the published model."
            ) from error
        nested = settings.get("image_processor") if isinstance(settings, Mapping) else None
        if name == FILES[0] and not isinstance(nested, Mapping):
            continue
        return preprocess_of(nested if name == FILES[0] else settings, model, kind)
    raise ImindexError(
        f"{model} does not say how pictures are prepared: there is no {FILES[1]} in its folder. Put the file of the "
        "published model there."
    )


def preprocess_of(settings: object, model: str, kind: str = "") -> Preprocess:
    """Return the preprocessing that the settings of an image processor describe.

    Parameters
    ----------
    settings : object
        The content of preprocessor_config.json, from an untrusted file.
    model : str
        The model's name, for messages.
    kind : str
        The class of the processor, such as `BitImageProcessor`, where the settings do not name one.

    Raises
    ------
    ImindexError
        The class of the processor is unknown, or a step cannot be expressed.

    Examples
    --------
    >>> found = preprocess_of({"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}}, "dinov2")
    >>> found.size, found.resize_to, found.interpolation
    ((224, 224), 256, 'bicubic')
    """
    if not isinstance(settings, Mapping):
        raise _refusal(model, "is not a JSON object")
    if "auto_map" in settings:
        raise _refusal(
            model,
            f"brings code of its own (auto_map {_shown(settings['auto_map'])}), which imindex never runs",
        )
    kind = _class_name(settings) or kind
    defaults = _CLASSES.get(kind)
    if defaults is None:
        raise _refusal(
            model, f"is of the class {_shown(kind)}, and imindex knows {', '.join(sorted(_CLASSES))}"
        )
    steps = {"do_resize": True, "do_rescale": True, "do_normalize": True, "do_center_crop": defaults.crop}
    steps |= {name: value for name, value in settings.items() if name.startswith("do_") and value is not None}
    for name, does in steps.items():
        if not isinstance(does, bool):
            raise _refusal(model, f"has the {name} {_shown(does)}, not true or false")
        if does and name not in _NEUTRAL:
            raise _refusal(model, f"has the step {name}, which imindex cannot do")
    if not steps["do_resize"]:
        raise _refusal(model, "does not resize pictures, and imindex encodes pictures of one size")
    factor = settings.get("rescale_factor", 1 / 255)
    if not steps["do_rescale"] or not _is_number(factor) or not math.isclose(factor, 1 / 255, rel_tol=1e-4):
        raise _refusal(
            model, f"scales pixels by {_shown(factor) if steps['do_rescale'] else 'nothing'}, not by 1/255"
        )
    mean, std = (
        (
            settings.get("image_mean") or defaults.normalize[0],
            settings.get("image_std") or defaults.normalize[1],
        )
        if steps["do_normalize"]
        else ((0.0,) * 3, (1.0,) * 3)
    )
    resample = settings.get("resample", defaults.resample)
    if isinstance(resample, bool) or resample not in _RESAMPLE:
        raise _refusal(
            model, f"resizes with the filter {_shown(resample)}; imindex has bilinear (2) and bicubic (3)"
        )
    values: Mapping[str, Any] = {
        **_geometry(settings, defaults, model, kind, crop=steps["do_center_crop"]),
        "mean": mean,
        "std": std,
        "interpolation": _RESAMPLE[resample],
        "crop_floor": True,
    }
    fault = preprocess_fault(values)
    if fault:
        raise _refusal(model, fault)
    return Preprocess.from_dict(values)


def _class_name(settings: Mapping[str, Any]) -> str:
    """Return the class of a processor by its present name: CLIPImageProcessor for CLIPFeatureExtractor."""
    name = settings.get("image_processor_type") or settings.get("feature_extractor_type") or ""
    return str(name).replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")


def _geometry(
    settings: Mapping[str, Any], defaults: _Defaults, model: str, kind: str, *, crop: bool
) -> dict[str, object]:
    size = settings.get("size", defaults.size)
    square = defaults.to_square
    if settings.get("default_to_square") is not None and not isinstance(size, Mapping):
        square = bool(settings["default_to_square"])
    edges = _edges(size, model, "size", square=square)
    if kind == "ConvNextImageProcessor":
        return _convnext(settings, edges, model, crop=crop)
    target = _edges(settings.get("crop_size", 224), model, "crop_size", square=True) if crop else edges
    if target[1] is None:
        what = "crop_size" if crop else "size"
        raise _refusal(
            model, f"has the {what} {_shown(settings.get(what))}, which gives pictures of different sizes"
        )
    height, width = edges
    if width is None:
        return {
            "size": target,
            "resize_mode": "shortest",
            "resize_to": None if target == (height,) * 2 else height,
        }
    if target == (height, width):
        return {"size": target, "resize_mode": "squash"}
    if height != width:
        raise _refusal(
            model, f"resizes to {height} x {width} and crops, which imindex does with a square only"
        )
    return {"size": target, "resize_mode": "squash", "resize_to": height}


def _convnext(
    settings: Mapping[str, Any], edges: tuple[int, int | None], model: str, *, crop: bool
) -> dict[str, object]:
    """ConvNeXt's processor resizes such that a crop keeps `crop_pct` of the shorter edge, or squashes large sizes."""
    edge, other = edges
    if other is not None or crop:
        raise _refusal(model, "is one of ConvNeXt with a height, a width or a further crop")
    if edge >= _CONVNEXT_CROPS_BELOW:
        return {"size": (edge, edge), "resize_mode": "squash"}
    share = settings.get("crop_pct", 224 / 256)
    if not _is_number(share) or not 0.1 <= share <= 1:
        raise _refusal(model, f"has the crop_pct {_shown(share)}, not a share from 0.1 to 1")
    return {"size": (edge, edge), "resize_mode": "shortest", "resize_to": int(edge / share)}


def _edges(size: object, model: str, name: str, *, square: bool) -> tuple[int, int | None]:
    """Return height and width, or the shorter edge and None."""
    if isinstance(size, Mapping):
        given = {key: value for key, value in size.items() if value is not None}
    else:
        given = {"height": size, "width": size} if square else {"shortest_edge": size}
    if not all(
        isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in given.values()
    ):
        raise _refusal(model, f"has the {name} {_shown(size)}, not whole numbers of pixels")
    if set(given) == {"height", "width"}:
        return given["height"], given["width"]
    if set(given) == {"shortest_edge"}:
        return given["shortest_edge"], None
    raise _refusal(model, f"has the {name} {_shown(size)}, which gives pictures of different sizes")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refusal(model: str, fault: str) -> ImindexError:
    return ImindexError(
        f"The image processor of {model} ({FILES[1]}) {fault}. Use a model with a plain processor, or correct the file."
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
