"""An encoder that is loaded when the first new picture needs it: a build with nothing new imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.preprocess_bounds import ACCEPT, REJECT, SRGB
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.registry import DEFAULT_MODEL, require_same
from imindex.indexer.store.index import Index
from imindex.indexer.system.input_files import exists

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder


class LazyEncoder:
    """An encoder that is loaded when the first new picture needs it.

    Parameters
    ----------
    load : callable
        Returns the Encoder.
    batch_size : int or callable
        Pictures in one batch, or a function that returns it. Batches are formed before the encoder is loaded.
    info : EncoderInfo, optional
        What the encoder has to be: that of the index to which pictures are added.
    """

    def __init__(
        self,
        load: Callable[[], Encoder],
        batch_size: int | Callable[[], int],
        info: EncoderInfo | None = None,
    ):
        self._load = load
        self._batch_size = batch_size
        self._encoder: Encoder | None = None
        self._info = info

    @property
    def batch_size(self) -> int:
        """Pictures in one batch."""
        if not isinstance(self._batch_size, int):
            self._batch_size = self._batch_size()
        return self._batch_size

    def get(self) -> Encoder:
        """Return the encoder; the first call loads it.

        Raises
        ------
        ImindexError
            It cannot be loaded, or is not what it has to be.
        """
        if self._encoder is None:
            self._encoder = self._load()
            if self._info is not None:
                require_same(self._info, self._encoder.info)
        return self._encoder

    @property
    def loaded(self) -> bool:
        """Whether it has been loaded."""
        return self._encoder is not None

    @property
    def info(self) -> EncoderInfo:
        """What the encoder is, or has to be; loads it only if that is not known."""
        return self._info or self.get().info


def preprocess_note(info: EncoderInfo) -> str:
    """Say which preprocessing an encoder got whose weights do not state it; empty if they do.

    Parameters
    ----------
    info : EncoderInfo
    """
    if not info.preprocess_from:
        return ""
    mean, std = (
        "/".join(f"{value:.4g}" for value in info.preprocess.get(key, ())) for key in ("mean", "std")
    )
    how = [
        f"mean {mean}",
        f"std {std}",
        *(str(info.preprocess.get(key)) for key in ("interpolation", "resize_mode")),
    ]
    if "backend" not in info.config:  # open_clip's
        how.append("quick_gelu" if info.config.get("quick_gelu") else "gelu")
    settings = ", ".join(how)
    return f"{info.name()}: the weights do not say how pictures are prepared; {settings} from {info.preprocess_from}."


def digest_note(info: EncoderInfo) -> str:
    """Say which file of weights was loaded; empty if its digest is not recorded.

    Parameters
    ----------
    info : EncoderInfo
    """
    if not info.pretrained_sha256:
        return ""
    return (
        f"{info.pretrained} has the SHA-256 {info.pretrained_sha256}, and its weights {info.weights_sha256}."
    )


def encoder_for(  # noqa: PLR0913
    path: Path,
    *,
    model: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    trust: bool = False,
    color: str | None = None,
    truncated: str | None = None,
    preprocess_from: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> LazyEncoder:
    """Return the encoder that made an index or, for a new index, the named one.

    Parameters
    ----------
    path : Path
        The index.
    model, pretrained, device, precision
        See `imindex.indexer.encoders.load.load`. For an existing index, model and pretrained say where its encoder is
        now.
    batch_size : int, optional
        Pictures in one batch; by default what suits the device.
    trust : bool
        Load whatever an existing index names, see `imindex.indexer.encoders.load.load_as`.
    color, truncated : str, optional
        See `imindex.indexer.encoders.load.load`. By default, those of an existing index, or else `srgb` and `reject`.
        An index whose truncated pictures were rejected may accept them from now on: its rows stay what they are.
    preprocess_from : str, optional
        See `imindex.indexer.encoders.load.load`. By default, what an existing index records.
    note : callable
        Is told that a new index is begun, and what was taken from elsewhere for weights that do not state it.

    Raises
    ------
    ImindexError
        The encoder cannot be loaded, is not that of the index, or the index was made with another setting.
    """

    def default_size() -> int:
        from imindex.indexer.encoders.precision import default_batch_size

        return default_batch_size(device)

    def load_new() -> Encoder:
        from imindex.indexer.encoders.load import load

        return load(
            name,
            pretrained,
            device=device,
            precision=precision,
            batch_size=batch_size,
            color=color or SRGB,
            truncated=truncated or REJECT,
            preprocess_from=preprocess_from,
        )

    def load_own() -> Encoder:
        from imindex.indexer.encoders.load import load_as

        return load_as(
            info,
            model=model,
            pretrained=pretrained,
            device=device,
            batch_size=batch_size,
            trust=trust or None,
            preprocess_from=preprocess_from,
        )

    if not exists(path):
        name = model or DEFAULT_MODEL
        note(f"{path} is new: loading the encoder {name}.")
        lazy = LazyEncoder(load_new, batch_size or default_size)
        if taken := preprocess_note(lazy.get().info):
            note(taken)
        if told := digest_note(lazy.get().info):
            note(told)
        return lazy
    with Index(path) as index:
        info = index.encoder
    if precision not in ("auto", info.precision):
        raise ImindexError(
            f"{path} was encoded at {info.precision}, not {precision}. "
            "Drop --precision, or build a new index with -i."
        )
    if color not in (None, info.color):
        how = "converted to sRGB" if info.color == SRGB else "decoded without their colour profiles"
        raise ImindexError(
            f"The pictures of {path} were {how}, so --color {color} does not fit it. Drop --color, or build a new "
            "index with -i."
        )
    if truncated == REJECT and info.truncated == ACCEPT:
        raise ImindexError(
            f"{path} may hold pictures whose files end early (--truncated accept), so --truncated reject does not fit "
            "it. Drop --truncated, or build a new index with -i."
        )
    info = info.rendered(info.color, truncated or info.truncated)
    lazy = LazyEncoder(load_own, batch_size or default_size, info)
    if model is not None or pretrained is not None or preprocess_from is not None:
        lazy.get()
    return lazy
