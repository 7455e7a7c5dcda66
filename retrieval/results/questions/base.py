"""The base of all answers to questions."""

from __future__ import annotations

import msgspec
import msgspec.inspect

from imindex.retrieval.results.base import Result
from imindex.retrieval.results.tables import Row, flat


class QuestionAnswer(Result, kw_only=True, frozen=True, tag_field="question"):
    """Base of the answers: for one release by one encoder.

    Attributes
    ----------
    release, encoder : str
        Their names in the plan.
    statement : str
        The answer in one sentence or two.
    notes : tuple of str
        What limits this answer, in sentences.
    """

    release: str
    encoder: str
    statement: str
    notes: tuple[str, ...] = ()

    @classmethod
    def table_names(cls) -> list[str]:
        """Return the names of all CSV tables: the question's key, and the key and the name of a field."""
        key = str(cls.__struct_config__.tag).replace("_", "-")
        fields = msgspec.inspect.type_info(cls).fields  # type: ignore[attr-defined]
        rows = [
            one.name
            for one in fields
            if isinstance(one.type, msgspec.inspect.VarTupleType)
            and isinstance(one.type.item_type, msgspec.inspect.StructType)
        ]
        return [key, *(f"{key}-{name}".replace("_", "-") for name in rows if name != "artists")]

    def tables(self) -> dict[str, list[Row]]:
        """Return all tables as flat rows: `records` under ``""``, and others by the name of their field."""
        others = {
            name: [flat(row.to_dict()) for row in rows]
            for name in self.__struct_fields__
            if name != "artists" and isinstance(rows := getattr(self, name), tuple)
            if rows and isinstance(rows[0], msgspec.Struct)
        }
        return {"": self.records(), **others}
