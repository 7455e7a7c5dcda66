"""Texts that are longer than the encoder reads: counted, told, and refused where a name is cut off."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import open_clip
import pytest

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.multi_device import MultiDeviceEncoder
from imindex.indexer.encoders.tokens import Tokens, tokens_of
from imindex.retrieval.evidence.label_lengths import check_label_lengths
from imindex.retrieval.evidence.shared import Texts
from tests.support.audits import change, run_plan
from tests.support.commands import run

pytestmark = pytest.mark.usefixtures("one_thread")
LONG = "a very long description of a painting of a landscape with a house and two trees and a river, by"
PLAIN = open_clip.SimpleTokenizer()


@pytest.fixture(scope="module")
def demo() -> Encoder:
    return load("demo", device="cpu", precision="fp32")


def read(text: str, limit: int) -> list[int]:
    """Return what open_clip's own tokenizer makes of a text."""
    ids: list[int] = PLAIN([text], context_length=limit)[0].tolist()
    return ids


def test_counts_are_those_of_a_tokenizer_with_room(demo: Encoder) -> None:
    texts = [
        "",
        "a",
        "Artwork from Ada Example",
        "word " * 29,
        "word " * 30,
        "word " * 31,
        "Łucja Żółć " * 20,
        "鹤" * 9,
    ]
    tokens = demo.tokens(texts)
    assert tokens is not None and tokens.limit == 32
    whole = [np.count_nonzero(read(text, 4_000)) for text in texts]
    assert list(tokens.needed) == whole
    assert [list(ids) for ids in tokens.read] == [read(text, 32) for text in texts]
    assert tokens.n_cut == sum(n > 32 for n in whole) == 2  # 30 words and two special tokens just fit
    for text, needed in zip(
        texts, tokens.needed, strict=True
    ):  # what is not cut reads the same with more room
        assert (read(text, 32) == read(text, 64)[:32] and not any(read(text, 64)[32:])) == (needed <= 32)
    assert demo.tokens([]) == Tokens((), 32, ())
    assert MultiDeviceEncoder([demo]).tokens(texts) == tokens


def test_tokenizers_of_transformers_are_counted(tmp_path: Path) -> None:
    from imindex.indexer.encoders.open_clip import OpenClipEncoder

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "artwork", "from", "ada"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for mode, special in ((None, 2), ("clips", 3)):
        extra = {} if mode is None else {"tokenizer_mode": mode}
        tokenizer = open_clip.tokenizer.HFTokenizer(str(tmp_path), context_length=8, **extra)
        if mode:
            tokenizer.tokenizer.bos_token, tokenizer.tokenizer.eos_token = "[CLS]", "[SEP]"
        encoder = OpenClipEncoder.__new__(OpenClipEncoder)
        encoder._tokenizer = tokenizer
        for n in range(9):
            text = " ".join(["ada"] * n)
            tokens = encoder.tokens([text])
            assert tokens is not None and tokens.needed == (n + special,) and tokens.limit == 8
            longer = encoder.tokens([f"{text} from"])
            assert longer is not None  # another word changes what is read as long as there is room for it
            assert (tokens.read != longer.read) == (longer.needed[0] <= 8 or n + special < 8)


def test_an_encoder_that_does_not_tell_is_not_judged() -> None:
    class Silent(Encoder):
        has_text = True

    class Structural:
        dim = 3

        def encode_texts(self, texts: object) -> np.ndarray:
            return np.zeros((1, 3), np.float16)

    for encoder in (Silent(), Structural()):
        assert tokens_of(encoder, ["a"]) is None
        assert check_label_lengths(encoder, ["x " * 500], ["y"], [LONG + " {artist}"]) is None


# Names


def test_a_name_is_read_up_to_the_last_token_or_refused(demo: Encoder) -> None:
    """Brute force: a name is refused if and only if what is read does not hold all of its tokens."""
    name = "Ada Example"
    own = read(name, 32)[1:3]
    for n in range(24, 34):
        template = "word " * n + "{artist}"
        is_whole = own == [token for token in read(template.replace("{artist}", name), 32) if token in own]
        if is_whole:
            assert check_label_lengths(demo, [name], [], [template]) is None
        else:
            with pytest.raises(
                ImindexError, match=r"the name Ada Example ends with token \d+, .* reads 32 tokens"
            ):
                check_label_lengths(demo, [name], [], [template])
    assert (
        check_label_lengths(demo, [name], [], ["{artist}: " + "word " * 40]) is not None
    )  # only what follows is cut


def test_what_is_cut_behind_a_name_is_counted(demo: Encoder) -> None:
    templates = ["Artwork from {artist}", "{artist}, " + LONG + " " + LONG]
    cut = check_label_lengths(demo, ["Ada Example", "Bo Sample", "Cy Other"], ["Artwork"], templates)
    assert cut is not None and (cut.n, cut.of, cut.limit) == (3, 7, 32) and cut.longest > 32
    assert cut.example.startswith(("Ada Example, a very", "Bo Sample, a very", "Cy Other, a very"))
    assert "3 of 7 texts of labels are longer than demo reads" in cut.sentence("demo")
    only = check_label_lengths(demo, ["Ada Example", "Bo Sample"], ["Artwork"], templates, candidates=[1])
    assert only is not None and (only.n, only.of) == (1, 3)
    far = ["Ada Example", "Bo " * 40]
    assert check_label_lengths(demo, far, [], ["by {artist}"], candidates=[0]) is None  # no candidate
    with pytest.raises(ImindexError, match="the name Bo Bo"):
        check_label_lengths(demo, far, [], ["by {artist}"])


def test_labels_that_become_the_same_are_refused(demo: Encoder) -> None:
    long = "word " * 31
    with pytest.raises(ImindexError, match=r"are the same to the encoder: it reads 32 tokens"):
        check_label_lengths(demo, ["Ada Example"], [f"{long} one", f"{long} two"], ["by {artist}"])
    assert check_label_lengths(demo, ["Ada Example"], [f"{long} one", "two"], ["by {artist}"]) is not None
    assert (
        check_label_lengths(demo, ["Ada Example", "ADA EXAMPLE"], [], ["by {artist}"]) is None
    )  # not by cutting


def test_counted_texts_need_no_encoder_later(demo: Encoder) -> None:
    def absent() -> Encoder:
        raise AssertionError("loaded again")

    texts = Texts(absent)
    texts.encode_with(demo, [["a b"]], counted=[["c"]])
    assert texts.tokens(["a b"]) == demo.tokens(["a b"]) and texts.tokens(["c"]) == demo.tokens(["c"])
    assert (texts.encode_texts(["a b"]) == demo.encode_texts(["a b"])).all()
    with pytest.raises(AssertionError, match="loaded again"):
        texts.tokens(["d"])


# Commands, Python and audits; the tiny encoder reads 16 tokens


def test_classify_counts_and_refuses(built: Path) -> None:
    short = run("classify", "-i", built, "--by", "name", "--device", "cpu", "--json")
    assert json.loads(short.stdout)["cut_texts"] is None
    template = "{artist}, " + LONG
    told = run("classify", "-i", built, "--by", "name", "--device", "cpu", "--template", template)
    assert "longer than the encoder reads: 16 tokens" in " ".join(told.output.split())
    counted = json.loads(
        run(
            "classify", "-i", built, "--by", "name", "--device", "cpu", "--template", template, "--json"
        ).stdout
    )["cut_texts"]
    assert counted["limit"] == 16 and 0 < counted["n"] < counted["of"]
    refused = run(
        "classify", "-i", built, "--by", "name", "--device", "cpu", "--template", LONG + " {artist}", code=1
    )
    assert "the name would be cut off" in " ".join(refused.stderr.split())
    run("classify", "-i", built, "--by", "works", "--device", "cpu")


def test_a_query_tells_how_much_of_a_text_is_read(built: Path) -> None:
    result = run("query", "-i", built, "--device", "cpu", "--text", LONG, "--text", "short", "--json")
    assert "tokens, and the encoder reads 16 of them" in " ".join(result.stderr.split())
    long, short = json.loads(result.stdout)["queries"]
    assert long["tokens"] > 16 == long["tokens_read"]
    assert "tokens" not in short and "tokens_read" not in short


def test_python_warns(tiny_model: str) -> None:
    encoder = imindex.Encoder.load(tiny_model, device="cpu", precision="fp32")
    with pytest.warns(UserWarning, match="reads 16 tokens of a text: the end of 1 of 2 texts"):
        vectors = encoder.encode_texts([LONG, "short"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = encoder.encode_texts(["short"])
    assert np.allclose(vectors[1].astype(float), alone[0].astype(float), atol=2e-3)


def test_an_audit_refuses_names_that_are_cut_off_before_it_makes_anything(
    world: Path, tmp_path: Path
) -> None:
    (tmp_path / "works").symlink_to(world / "works")
    (tmp_path / "models").symlink_to(world / "models")
    (tmp_path / "plan.toml").write_text((world / "plan.toml").read_text())
    text = (tmp_path / "plan.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("[tests]"))
    change(tmp_path, line, f'{line}\ntemplates = ["{LONG} {{artist}}"]')
    with pytest.raises(ImindexError, match="the name would be cut off"):
        run_plan(tmp_path)
    assert not list((tmp_path / "audit").glob("*.h5")) and not list((tmp_path / "audit").rglob("*.png"))
