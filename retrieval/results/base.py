"""The base class of all result types, their value types, and conversion to and from JSON."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from imindex.indexer.core.bounds import SEED
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text, parse_json
from imindex.retrieval.results.tables import Row, flat, to_csv, to_frame, to_table

if TYPE_CHECKING:
    import pyarrow

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0)]
Number = float | None
Share = Annotated[float, Meta(ge=0, le=1)] | None
P = (
    Annotated[float, Meta(ge=0, le=1, description="A p-value. It is never 0, unless it underflows a double.")]
    | None
)
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Digest = Annotated[str, Meta(pattern="^([0-9a-f]{64})?$", description="A SHA-256, or empty.")]
Time = Annotated[str, Meta(description="ISO 8601, UTC.")]
if TYPE_CHECKING:
    from typing import TypeAlias

    Seed: TypeAlias = int
    PictureSeed: TypeAlias = int
else:

    class Seed(int):
        """The type of a field that holds a seed: an int, and in JSON a string of digits.

        Seeds have up to 63 bits. Readers that use doubles, such as jq and JavaScript, change numbers of more than 53.
        """

    class PictureSeed(int):
        """The type of a field that holds the seed of a picture, as `Seed`; -1 if it is unknown."""


SEEDS = (Seed, PictureSeed)
_ALWAYS_PLAIN = frozenset({str, int, bool, type(None)})
UNKNOWN_SEED = -1
Level = Annotated[float, Meta(gt=0, lt=1)]
Adjust = Literal["holm", "bh", "by"]
Alternative = Literal["two-sided", "less", "greater"]
FigureName = Literal["auc", "accuracy"]
Interval = tuple[Number, Number] | None


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base class of all result types; contains plain values only.

    Examples
    --------
    >>> from imindex.retrieval.results import LeftOut
    >>> left_out = LeftOut(artist="Ada Example", why="no works")
    >>> left_out.to_dict()
    {'artist': 'Ada Example', 'why': 'no works'}
    >>> left_out.to_arrow().column_names
    ['artist', 'why']
    """

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) in _ALWAYS_PLAIN:
                continue
            plain = _plain(value)
            if plain is not value:
                msgspec.structs.force_setattr(self, name, plain)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as dicts, lists, strings, numbers and None, as in its JSON."""
        values: dict[str, Any] = to_dict(self)
        return values

    def records(self) -> list[Row]:
        """Return the main table of the result as flat rows, one per artist or neighbour.

        Keys of nested figures are joined: ``recall@5`` is the recall at 5.
        """
        artists = getattr(self, "artists", None)
        rows = artists if isinstance(artists, tuple) and artists else (self,)
        return [flat(to_dict(row)) for row in rows]

    def to_arrow(self) -> pyarrow.Table:
        """Return `records` as an Arrow table."""
        return to_table(self.records())

    def to_pandas(self) -> Any:
        """Return `records` as a pandas.DataFrame.

        Raises
        ------
        ImindexError
            pandas is not installed.
        """
        return to_frame(self.to_arrow(), "pandas")

    def to_polars(self) -> Any:
        """Return `records` as a polars.DataFrame.

        Raises
        ------
        ImindexError
            polars is not installed.
        """
        return to_frame(self.to_arrow(), "polars")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file, atomically replacing an existing one.

        Parameters
        ----------
        path : path-like
            ``.json`` writes everything; ``.csv`` and ``.parquet`` write `records`.

        Returns
        -------
        Path

        Raises
        ------
        ImindexError
            The suffix is not one of these.
        """
        from imindex.indexer.system.atomic import put_in_place

        file = Path(path)
        if file.suffix not in (".json", ".csv", ".parquet"):
            raise ImindexError(f"{file} does not end in .json, .csv or .parquet. Use one of these suffixes.")
        with put_in_place(file) as opened:
            if file.suffix == ".json":
                opened.write(to_json(self, indent=1))
            elif file.suffix == ".csv":
                opened.write(to_csv(self.records()).encode("utf-8", "backslashreplace"))
            else:
                import pyarrow.parquet

                pyarrow.parquet.write_table(self.to_arrow(), opened)
        return file

    def _repr_html_(self) -> str | None:
        """Return HTML for a notebook, or None if no renderer is set."""
        return _renderers[-1](self) if _renderers else None


_renderers: list[Callable[[Result], str | None]] = []


def draw_with(renderer: Callable[[Result], str | None]) -> None:
    """Set the notebook renderer: a function that returns an HTML fragment, or None for a type it cannot render."""
    _renderers[:] = [renderer]


def _plain(value: Any) -> Any:
    """Replace NaN and infinities by None, NumPy scalars by Python scalars; return anything else unchanged."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind in (str, int, bool, type(None)):
        return value
    if kind in SEEDS:
        return int(value)
    if kind is tuple:
        items = tuple(_plain(item) for item in value)
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if kind is dict:
        entries = {key: _plain(item) for key, item in value.items()}
        return value if all(entries[key] is value[key] for key in value) else entries
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value


# JSON


def to_dict(result: Any) -> Any:
    """Return a result as dicts, lists, strings, numbers and None, ready for `json.dumps`; seeds are strings."""
    return _with_text(result, msgspec.to_builtins(result, str_keys=True))


def _with_text(result: Any, built: Any) -> Any:
    """Return what `msgspec.to_builtins` made of a result, with lists instead of tuples and seeds as strings."""
    if isinstance(result, msgspec.Struct):
        seeds, config = _seeds(type(result)), result.__struct_config__
        tag = {config.tag_field: built[config.tag_field]} if config.tag_field in built else {}
        return tag | {
            key: str(built[key])
            if name in seeds and built[key] is not None
            else _with_text(getattr(result, name), built[key])
            for name, key in zip(result.__struct_fields__, result.__struct_encode_fields__, strict=True)
            if key in built
        }
    if isinstance(built, dict):
        return {key: _with_text(value, built[key]) for key, value in zip(built, result.values(), strict=True)}
    if isinstance(built, (list, tuple)):
        return [_with_text(*pair) for pair in zip(result, built, strict=True)]
    return built


@functools.cache
def _seeds(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Return the fields of a result type whose type is `Seed`."""
    fields = msgspec.structs.fields(kind)
    return frozenset(field.name for field in fields if {*SEEDS} & {field.type, *get_args(field.type)})


def _from_text(kind: type, value: Any) -> Any:
    """Convert a seed, which earlier versions wrote as a number."""
    if kind not in SEEDS:
        raise NotImplementedError
    seed = int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,39}", value) else value
    if type(seed) is not int or not (SEED.hold(seed) or (seed == UNKNOWN_SEED and kind is PictureSeed)):
        raise ValueError(f"expected a seed of up to 63 bits as a string of digits, got {value!r:.40}")
    return kind(seed)


def to_json(result: Any, *, indent: int | None = None) -> bytes:
    """Return a result as JSON in ASCII."""
    if isinstance(result, msgspec.Struct) and not _holds_seeds(type(result)):
        return json_text(msgspec.to_builtins(result, str_keys=True), indent=indent).encode()
    return json_text(to_dict(result), indent=indent).encode()


@functools.cache
def _holds_seeds(kind: type[msgspec.Struct]) -> bool:
    """Return whether a result type, or one nested in it, has fields that hold seeds."""
    seen: set[Any] = set()

    def holds(part: Any) -> bool:
        if part in SEEDS:
            return True
        if part in seen:
            return False
        seen.add(part)
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            return any(holds(field.type) for field in msgspec.structs.fields(part))
        return any(holds(inner) for inner in get_args(part))

    return holds(kind)


def from_dict(type: type[T], value: Any, name: str = "") -> T:
    """Build a result from plain values, with strict validation.

    Parameters
    ----------
    type : type
        The result type.
    value : object
        Plain values, as returned by `to_dict` or `json.loads`.
    name : str
        Name of the source in error messages, such as a file.

    Raises
    ------
    ImindexError
        A key is missing or unknown, or has an invalid value; the message contains its path.

    Examples
    --------
    >>> from imindex.retrieval.results import LeftOut
    >>> from_dict(LeftOut, {"artist": "Ada", "why": 3}, "report.json")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    imindex...ImindexError: report.json: why: expected `str`, got `int`. Restore it or compute it again.
    """
    try:
        return msgspec.convert(value, type, str_keys=True, dec_hook=_from_text)
    except (msgspec.ValidationError, UnicodeError) as error:
        text, _, place = str(error).partition(" - at `")
        where = ": ".join(
            part for part in (name, place.rstrip("`").removeprefix("$").removeprefix(".")) if part
        )
        reason = f"{text[:1].lower()}{text[1:]}"
        raise ImindexError(f"{where or type.__name__}: {reason}. Restore it or compute it again.") from error


def from_json(type: type[T], data: bytes | str, name: str = "") -> T:
    """Decode a result from JSON with strict validation; see `from_dict`."""
    try:
        value = parse_json(data)
    except ValueError as error:
        raise ImindexError(
            f"{name or type.__name__} is not JSON: {error}. Restore it or compute it again."
        ) from error
    return from_dict(type, value, name)


def fields_of(result: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a result by name, to build a subtype: ``MatchedArtist(**fields_of(tests), n_works=3)``."""
    return {name: getattr(result, name) for name in result.__struct_fields__}
