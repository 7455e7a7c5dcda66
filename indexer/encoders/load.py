"""Load an encoder by its name, or the encoder that made an index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imindex.indexer.core.arguments import one_of
from imindex.indexer.core.bounds import BATCH
from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError, NoEncoder
from imindex.indexer.core.package import is_package
from imindex.indexer.core.preprocess_bounds import COLORS, REJECT, SRGB, TRUNCATED
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.precision import PRECISIONS, default_precision
from imindex.indexer.encoders.published import OPTION
from imindex.indexer.encoders.registry import (
    DEFAULT_MODEL,
    backend,
    failed,
    knows,
    name_for,
    name_of,
    plugin_of,
    require_same,
    takes_preprocess_from,
)
from imindex.indexer.system.device import torch_devices
from imindex.indexer.system.foreign_code import no_foreign_code
from imindex.indexer.system.input_files import refuse_special_files

_named: set[tuple[str, str]] = set()
"""Model and pretrained of the encoders that a caller has named in this process."""


def load(  # noqa: PLR0913
    model: str = DEFAULT_MODEL,
    pretrained: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    color: str = SRGB,
    truncated: str = REJECT,
    preprocess_from: str | EncoderInfo | None = None,
) -> Encoder:
    """Load an encoder.

    Parameters
    ----------
    model : str
        `NAME` or `NAME:MODEL`, where NAME is a back end of `imindex.indexer.encoders.registry.BACKENDS` or of another
        package. Everything else names an open_clip model, see `imindex.indexer.encoders.open_clip.load`.
    pretrained : str, optional
        The weights, where the model does not bring them: a tag of the back end, or a file.
    device : str
        auto (the first CUDA device, or else the CPU), cpu, cuda, cuda:N, or several that share the pictures, such as
        cuda:0,cuda:1.
    precision : str
        fp16, bf16, fp32 or auto: fp16 on CUDA; on a CPU bf16 if the processor has bf16 instructions, else fp32.
    batch_size : int, optional
        Pictures in one forward pass, over all devices.
    color : {"srgb", "as-encoded"}
        Whether pictures are converted to sRGB by their colour profiles, or the profiles are ignored.
    truncated : {"reject", "accept"}
        Whether a picture whose file ends early is rejected, or decoded with a grey rest.
    preprocess_from : str or EncoderInfo, optional
        For weights that do not state their preprocessing and activation: the tag of published weights that have the
        same, or `MODEL:TAG` for those of another model; or what an index records. By default what all published
        weights of the model agree on. `info.preprocess_from` says what was taken.

    Returns
    -------
    Encoder

    Raises
    ------
    ImindexError
        A setting is invalid, the model is unknown, its weights are not found or cannot be downloaded, nothing says how
        pictures are prepared for them, there is no such device, or the encoder does not compute at that precision.
    """
    one_of(color, COLORS, "color")
    one_of(truncated, TRUNCATED, "truncated")
    encoder = _load(
        model,
        pretrained,
        device=device,
        precision=precision,
        batch_size=batch_size,
        preprocess_from=preprocess_from,
    )
    encoder.info = encoder.info.rendered(color, truncated)
    _named.add((encoder.info.model, encoder.info.pretrained))
    return encoder


def _load(
    model: str,
    pretrained: str | None,
    *,
    device: str,
    precision: str,
    batch_size: int | None,
    preprocess_from: str | EncoderInfo | None,
) -> Encoder:
    one_of(precision, ("auto", *PRECISIONS), "precision")
    if batch_size is not None:
        BATCH.check(batch_size, "batch_size")
    devices = torch_devices(device)
    requested = precision
    if precision == "auto":
        precision = default_precision(devices[0])
    # A tag that the back end knows is not a file, even if a file in the current folder has its name.
    if pretrained and not knows(model, pretrained):
        refuse_special_files(pretrained)
        if Path(pretrained).is_file():
            pretrained = str(Path(pretrained).resolve())
    name = name_for(model)
    module = backend(name)
    options: dict[str, str | EncoderInfo] = {}
    if preprocess_from is not None:
        if takes_preprocess_from(module):
            options["preprocess_from"] = preprocess_from
        elif isinstance(preprocess_from, str):
            raise ImindexError(
                f"The back end {name} takes no {OPTION}: its models say how pictures are prepared. Drop it."
            )
    try:
        with no_foreign_code(model):
            encoder = module.load(
                model, pretrained, devices=devices, precision=precision, batch_size=batch_size, **options
            )
    except ImindexError:
        raise
    except Exception as error:
        if known := failed(name, error):
            raise known from error
        raise
    if encoder is None:
        raise ImindexError(f"The back end {name} returned no encoder. Let its load return one.")
    if name_of(encoder.info) != name:
        raise ImindexError(
            f"The back end {name} made an encoder whose configuration names the back end {name_of(encoder.info)}. "
            f'Set config={{"backend": "{name}", ...}} in its EncoderInfo.'
        )
    try:
        canonical_json([encoder.info.config, encoder.info.preprocess])
    except ValueError as error:
        raise ImindexError(
            f"The configuration of {model} has a number that is not finite, which an index cannot record. Correct it."
        ) from error
    if (other := plugin_of(name)) and is_package(other.package):
        encoder.info = replace(encoder.info, package=other.package)
    if requested not in ("auto", encoder.info.precision):
        raise ImindexError(
            f"The encoder {model} computes at {encoder.info.precision}, not {requested}. Drop precision (--precision)."
        )
    return encoder


def load_as(
    info: EncoderInfo,
    *,
    model: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    trust: bool | None = None,
    preprocess_from: str | None = None,
) -> Encoder:
    """Load the encoder that made an index, and refuse any other.

    Weights that do not state their preprocessing and activation get those that the index records.

    A folder, a file or a repository that only the index names is not loaded: the index may be a stranger's. Names that
    the back end knows are, and so are encoders that `load` has loaded by name in this process.

    Parameters
    ----------
    info : EncoderInfo
        The encoder that the index records.
    model, pretrained : str, optional
        Where to find it now, if it has moved.
    device, batch_size
        See `load`.
    trust : bool, optional
        Load whatever is named, or only names that the back end knows. By default, the former if `model` is given.
    preprocess_from : str, optional
        As in `load`, in place of what the index records.

    Returns
    -------
    Encoder

    Raises
    ------
    ImindexError
        The encoder cannot be found, it is not the one that made the index, or it is not trusted.
    """
    backend(name_of(info), info.package)  # an unknown back end is refused before its model's name is tried
    name = model or info.model
    weights = pretrained or (None if model else info.pretrained or None)
    trusted = model is not None if trust is None else trust
    if pretrained and trust is None and not trusted:
        # The weights are the caller's; the model is the index's.
        trusted = name in {known for known, _ in _named} or knows(name, None)
    if not trusted:
        try:
            require_trusted(name, weights)
        except NoEncoder as error:
            raise NoEncoder(f"{error} {recorded(info)}", error.options) from None
    torch_devices(device)  # a wrong device is no matter of the encoder
    found = f"{name}{f' with the weights {weights}' if weights else ''}"
    try:
        encoder = _load(
            name,
            weights,
            device=device,
            precision=info.precision,
            batch_size=batch_size,
            preprocess_from=info if preprocess_from is None else preprocess_from,
        )
    except NoEncoder:
        raise
    except ImindexError as error:
        raise NoEncoder(f"{error} {recorded(info)} Here, {found} could not be loaded.", _ELSEWHERE) from error
    encoder.info = encoder.info.rendered(info.color, info.truncated)
    try:
        require_same(info, encoder.info)
    except ImindexError as error:
        raise NoEncoder(f"{error} {recorded(info)} Here, {found} is another one.", _ELSEWHERE) from error
    return encoder


_ELSEWHERE = "--model MODEL --pretrained WEIGHTS"


def recorded(info: EncoderInfo) -> str:
    """Say which encoder an index records."""
    weights = f" with the weights {info.pretrained}" if info.pretrained else ""
    digest = f", whose SHA-256 is {info.weights_sha256}" if info.weights_sha256 else ""
    return f"The index records {info.model}{weights}{digest}; {info.dim} dimensions, {info.precision}."


def require_trusted(model: str, pretrained: str | None = None, *, by: str = "The index") -> None:
    """Refuse an encoder that only an untrusted file names, unless it is known by name.

    Parameters
    ----------
    model, pretrained : str
        As the file names them.
    by : str
        The file, for the message.

    Raises
    ------
    ImindexError
        The back end does not know the name, and the caller has not loaded the encoder by that name in this process.
    """
    if (model, pretrained or "") in _named or knows(model, pretrained):
        return
    weights = f" with the weights {pretrained}" if pretrained else ""
    raise NoEncoder(
        f"{by} names the encoder {model}{weights}, which is not one of the names that imindex knows. A model can be "
        "made to do harm, and this one was chosen by whoever made the file, so it is not loaded. If you have the "
        "encoder, say where it is: --model (and --pretrained). If you trust the file, add --trust-encoder. "
        "(In Python: model= and trust_encoder= of build and compare, otherwise encoder={'model': ...} or "
        "encoder={'trust': True}.)",
        "--trust-encoder",
    )


def load_with(info: EncoderInfo, where: Mapping[str, Any]) -> Encoder:
    """Load the encoder of an index with overrides from the caller.

    Parameters
    ----------
    info : EncoderInfo
    where : mapping
        `model`, `pretrained`, `device`, `batch_size` or `trust`, as in `load_as`.

    Raises
    ------
    ImindexError
        A key is unknown, or as in `load_as`.
    """
    if not isinstance(where, Mapping):
        raise ImindexError(
            f'encoder: expected a mapping, not {where!r}. Pass {{"model": ..., "device": ...}}.'
        )
    for key in where:
        one_of(key, ("model", "pretrained", "device", "batch_size", "trust"), "encoder")
    return load_as(info, **where)
