"""Every number that a plan or an option takes has a range, and what is beyond it is refused with the range."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
import pytest

import imindex
from imindex.indexer.core.bounds import NAMES, SEED, SHARE, Bounds
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.limits import Limits
from imindex.indexer.generate.model_settings import ModelSettings
from imindex.indexer.generate.prompts import shots
from imindex.indexer.terminal.options import Real
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.plan_table import PlanFile, Table
from tests.support.commands import run

PLAN = """
{top}
[artists]
tested = ["Ada Example", "Bo Sample"]
[[releases]]
name = "r1"
model = "models/one"
{releases}
[[encoders]]
model = "demo"
[prompts]
{prompts}
[tests]
{tests}
[compare]
base = "r1"
{compare}
"""


def numbers(table: type[Table], key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a table, and of the tables in it, whose type admits a number without a range of its own."""
    for name, hint in typing.get_type_hints(table, include_extras=True).items():
        yield from within(hint, f"{key}.{name}".lstrip("."))


def within(hint: Any, key: str, bounded: bool = False) -> Iterator[tuple[str, Any]]:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        inner, *metas = typing.get_args(hint)
        given = [meta for meta in metas if isinstance(meta, msgspec.Meta)]
        if inner in (int, float):
            (meta,) = given
            yield key, (meta.ge, meta.le)
        else:
            yield from within(inner, key)
    elif isinstance(hint, type) and issubclass(hint, Table):
        yield from numbers(hint, key)
    elif origin in (types.UnionType, typing.Union, tuple) or typing.get_args(hint):
        for inner in typing.get_args(hint):
            yield from within(inner, key)
    elif hint in (int, float):
        yield key, None


def test_every_number_of_a_plan_has_a_range() -> None:
    found = dict(numbers(PlanFile))
    assert len(found) >= 14
    for key, ends in found.items():
        if key in ("rivals", "prompts.placebos"):  # int | str: `read_plan` checks them
            assert ends is None
            continue
        assert ends is not None and None not in ends, key


@pytest.mark.parametrize("value", ["-1", "1000000000000", "1e-300", "1e300", "nan", "inf", "9" * 400])
@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("top", "seed"), ("top", "rivals"), ("releases", "lora_scale"), ("releases", "steps"),
        ("releases", "guidance"), ("prompts", "per_artist"), ("prompts", "placebos"), ("prompts", "nameless"),
        ("prompts", "per_generic"), ("tests", "level"), ("tests", "n_resamples"), ("tests", "confidence_level"),
        ("tests", "copies_rate"), ("tests", "copies"), ("compare", "margin"),
    ],
)  # fmt: skip
def test_a_plan_names_the_key_the_value_and_the_range(
    part: str, key: str, value: str, tmp_path: Path
) -> None:
    if (key in ("lora_scale", "guidance") and value in ("-1", "1e-300")) or (
        key == "seed" and value.startswith("100")
    ):
        return  # in the range
    path = tmp_path / "plan.toml"
    parts = dict.fromkeys(("top", "releases", "prompts", "tests", "compare"), "")
    path.write_text(PLAN.format(**{**parts, part: f"{key} = {value}"}), encoding="utf-8")
    said = run("audit", path, "--dry-run", code=1).stderr
    where = {"top": key, "releases": f"releases[1].{key}"}.get(part, f"{part}.{key}")
    assert f"{where} is " in said and "Write " in said and len(said) < 1_000, said
    assert "a whole number from " in said or "a number from " in said, said


def test_sizes_and_totals_are_bounded_too(tmp_path: Path) -> None:
    parts = dict.fromkeys(("top", "releases", "prompts", "tests", "compare"), "")
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(**{**parts, "releases": 'size = "99999x16"'}), encoding="utf-8")
    with pytest.raises(
        ImindexError, match=r"releases\[1\]: size '99999x16': a side is 99999\. Write a whole"
    ):
        read_plan(path)
    with pytest.raises(
        ImindexError, match=r"is 40,000,000\. Write|is 40000000\. Write a whole number from 0 to 10,"
    ):
        shots([f"Ada {n}" for n in range(4_000)], per_artist=10_000)
    with pytest.raises(ImindexError, match="guidance is nan"):
        ModelSettings("a", guidance=float("nan"))
    with pytest.raises(ImindexError, match="max_pixels is 0"):
        Limits(max_pixels=0)
    with pytest.raises(ImindexError, match="decode_timeout is nan"):
        Limits(decode_timeout=float("nan"))


def test_a_level_that_needs_too_many_names_is_named_by_the_dry_run(tmp_path: Path) -> None:
    parts = dict.fromkeys(("top", "releases", "prompts", "tests", "compare"), "")
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(**{**parts, "tests": "level = 1e-6"}), encoding="utf-8")
    for name in ("Ada Example", "Bo Sample"):
        (tmp_path / "works" / name).mkdir(parents=True)
        (tmp_path / "works" / name / "a.png").write_bytes(b"")
    said = run("audit", path, "--dry-run", code=1).stderr
    assert "prompts.placebos is 'auto', which takes 1,999,999 names at tests.level 1e-06" in said


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "[[" * 5_000, "a = " + "1" * 10_000])
def test_a_plan_that_is_nested_or_long_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    assert f"{path} is not TOML: " in run("audit", path, "--dry-run", code=1).stderr


def options(command: click.Command, name: str) -> Iterator[tuple[str, click.Parameter]]:
    for parameter in command.params:
        yield f"{name} {parameter.opts[0]}", parameter
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from options(found, f"{name} {sub}")


EVERY = dict(options(imindex.main, "imindex"))
NUMBERS = {
    name: option for name, option in EVERY.items()
    if isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType))
}  # fmt: skip


def test_every_number_of_an_option_has_a_range() -> None:
    assert len(NUMBERS) >= 40
    for name, option in NUMBERS.items():
        kind = option.type
        assert isinstance(kind, (click.IntRange, Real)), name
        assert kind.min is not None and kind.max is not None, name


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_an_option_beyond_its_range_is_a_usage_error_with_the_range(name: str) -> None:
    option = NUMBERS[name]
    words = name.split()[1:-1]
    for value in ("nan", "inf", "1e400", "9" * 30, "9" * 5_000):
        needed = [word for each in _command(words).params if each.required for word in _given(each)]
        given = f"-k{value}" if option.opts[0] == "-k" else f"{option.opts[0]}={value}"
        said = run(*words, *needed, given, code=2).stderr
        assert "Invalid value" in said and ("range" in said or "not a" in said), said


def _command(words: list[str]) -> click.Command:
    command: click.Command = imindex.main
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return command


def _given(parameter: click.Parameter) -> list[str]:
    return [parameter.opts[0], "x"] if isinstance(parameter, click.Option) else ["x"]


def test_bounds() -> None:
    for bounds, good, bad in (
        (NAMES, (0, 100_000), (-1, 100_001, 1.0, True, "3", None, 10**400)),
        (SHARE, (0.05, 0.5), (0, 1, 1e-300, float("nan"), float("inf"), "0.5", True, 10**400)),
        (SEED, (0, 2**63 - 1), (-1, 2**63)),
    ):
        for value in good:
            assert bounds.hold(value), value
            bounds.check(value, "x")
        for value in bad:
            assert not bounds.hold(value), value
            with pytest.raises(ImindexError, match=r"^x is .*\. Write a (whole )?number from") as refused:
                bounds.check(value, "x")
            assert len(str(refused.value)) < 200
    assert Bounds(1, 2).whole and not Bounds(0.0, 1.0).whole
