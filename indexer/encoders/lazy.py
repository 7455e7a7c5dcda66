"""An encoder that is loaded when the first new picture asks for it: a build with nothing new needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo, require_same
from imindex.indexer.store.index import Index

if TYPE_CHECKING:
    from imindex.indexer.encoders.open_clip import Encoder


class LazyEncoder:
    """An encoder that is loaded when the first new picture asks for it.

    Parameters
    ----------
    load : callable
        Returns the Encoder.
    batch_size : int or callable
        Pictures to a batch, or what tells it; batches are cut by it before the encoder is there.
    info : EncoderInfo, optional
        What it has to be: that of the index to which pictures are added.
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
        if not isinstance(self._batch_size, int):
            self._batch_size = self._batch_size()
        return self._batch_size

    def get(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._load()
            if self._info is not None:
                require_same(self._info, self._encoder.info)
        return self._encoder

    @property
    def info(self) -> EncoderInfo:
        return self._info or self.get().info


def encoder_for(
    path: Path,
    *,
    model: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> LazyEncoder:
    """The encoder that an index was built with, or for a new index the one that is named.

    Parameters
    ----------
    path : Path
        The index.
    model, pretrained, device, precision
        As `indexer.encoders.load.load`. Of an existing index, model and pretrained say where its encoder is now.
    batch_size : int, optional
        Pictures a batch; unless given, what suits the device.
    note : callable
        Is told that a new index is begun.

    Raises
    ------
    ImindexError
        The encoder cannot be loaded, or is not that of the index.
    """
    size = batch_size or (lambda: _precision().default_batch_size(device))
    how: dict[str, Any] = {"device": device, "batch_size": batch_size}
    if not path.exists():
        named = model or _encoders().DEFAULT_MODEL
        note(f"{path} is new: loading the encoder {named}.")
        lazy = LazyEncoder(lambda: _encoders().load(named, pretrained, precision=precision, **how), size)
        lazy.get()
        return lazy
    with Index(path) as index:
        info = index.encoder
    if precision not in ("auto", info.precision):
        raise ImindexError(
            f"{path} was encoded at {info.precision}, not {precision}. "
            f"Leave --precision away, or build a new index with -i."
        )
    lazy = LazyEncoder(
        lambda: _encoders().load_as(info, model=model, pretrained=pretrained, **how), size, info
    )
    if model is not None or pretrained is not None:
        lazy.get()
    return lazy


def _encoders() -> Any:
    """The module that imports torch and open_clip."""
    from imindex.indexer.encoders import load

    return load


def _precision() -> Any:
    """The module of defaults, which imports torch."""
    from imindex.indexer.encoders import precision

    return precision
