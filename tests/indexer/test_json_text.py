"""JSON from anybody: one value per key, and lines end at line feeds only."""

from __future__ import annotations

from pathlib import Path

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json, split_lines
from imindex.indexer.generate.components import read_json
from imindex.indexer.generate.release_folder import read_manifest
from imindex.indexer.sources.manifest_rows import rows
from imindex.indexer.store.structure import Damage, json_object


@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]', b'{"a": 1, "\\u0061": 2}']
)
def test_repeated_keys_are_refused(text: str | bytes, finite: bool) -> None:
    with pytest.raises(ValueError, match="it repeats the key 'a'"):
        parse_json(text, finite=finite)


def test_every_reader_refuses_repeated_keys(tmp_path: Path) -> None:
    file = tmp_path / "manifest.jsonl"
    file.write_text('{"path": "a.png", "artist": "Ada Example", "artist": "Bo Sample"}\n')
    with pytest.raises(ImindexError, match="line 1: not JSON: it repeats the key 'artist'"):
        list(rows(file))
    with pytest.raises(ImindexError, match="line 1 cannot be read: it repeats the key 'artist'"):
        read_manifest(tmp_path)
    with pytest.raises(ImindexError, match="it repeats the key 'artist'"):
        read_json(file)
    with pytest.raises(Damage, match="parameters is not JSON: it repeats the key 'n'"):
        json_object('{"n": 1, "n": 2}', "parameters")


def test_lines_end_at_line_feeds_only() -> None:
    assert split_lines("") == []
    assert split_lines("a\u2028b\x85c\n\nd") == ["a\u2028b\x85c", "", "d"]
    assert split_lines("a\n") == ["a"]
