"""The digest of a panel's key, which its pages quote."""

from __future__ import annotations

from imindex.indexer.core.digest import json_digest
from imindex.retrieval.results import PanelKey, to_dict

KEY = "key.json"


def key_digest(key: PanelKey) -> str:
    """Return the SHA-256 of the canonical JSON of a key without its digest."""
    return json_digest({name: value for name, value in to_dict(key).items() if name != "digest"})
