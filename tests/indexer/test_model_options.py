"""Options in the name of a model: split, joined, and refused with the known ones."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.model_options import join_options, split_options

KNOWN = ("pooling", "size")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("ViT-B-32", ("ViT-B-32", {})),
        ("timm:NAME?pooling=avg", ("timm:NAME", {"pooling": "avg"})),
        ("timm:NAME?size=1x2&pooling=avg", ("timm:NAME", {"size": "1x2", "pooling": "avg"})),
        ("timm:NAME?", ("timm:NAME", {})),
        ("local-dir:what?/a?pooling=avg", ("local-dir:what?/a", {"pooling": "avg"})),
        ("local-dir:what?/a?", ("local-dir:what?/a", {})),
        ("x?pooling=a=b", ("x", {"pooling": "a=b"})),
    ],
)
def test_split(model: str, expected: tuple[str, dict[str, str]]) -> None:
    assert split_options(model) == split_options(model, KNOWN) == expected


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("m?crop=1", r"m\?crop=1: the option crop is unknown\. The options of this model are pooling, size\. Corr"),
        ("m?size=1&size=2", r"the option size is given twice\. The options of this model are pooling, size\. Give"),
        ("m?size=1&size=1", "given twice"),
        ("m?size", r"'size' after the question mark is not an option of the form KEY=VALUE\. The options .*size\. If"),
        ("m?size=", "not an option of the form"),
        ("m?=1", "not an option of the form"),
        ("m?&size=1", "'' after the question mark"),
        ("m?size=1&", "'' after the question mark"),
        ("m?Size=1", "not an option of the form"),
        ("local-dir:what?/a", r"If the question mark belongs to the name, add another one .*: local-dir:what\?/a\?$"),
    ],
)  # fmt: skip
def test_refusals_name_the_known_options(model: str, message: str) -> None:
    with pytest.raises(ImindexError, match=message):
        split_options(model, KNOWN)


def test_a_model_without_options() -> None:
    with pytest.raises(ImindexError, match=r"unknown\. The model takes no options\. Correct it, or drop"):
        split_options("m?size=1", ())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(
    st.text(max_size=12),
    st.dictionaries(
        st.from_regex("[a-z][a-z0-9_-]{0,5}", fullmatch=True),
        st.text(st.characters(exclude_characters="?&"), min_size=1, max_size=6),
    ),
)
def test_joined_options_are_split_again(name: str, options: dict[str, str]) -> None:
    assert split_options(join_options(name, options)) == (name, options)
