"""The command `imindex doctor`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from imindex.indexer.core.errors import was_interrupted
from imindex.indexer.core.exit_codes import DONE, REFUSED
from imindex.indexer.core.url import Url
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    device_option,
    index_option,
    json_option,
    preprocess_option,
    require_folders,
    root_option,
    roots_of,
    trust_option,
)
from imindex.indexer.terminal.output import count, echo, print_json

if TYPE_CHECKING:
    from imindex.indexer.doctor.machine import Check


@click.command(short_help="Check this machine, its GPUs and an index; suggest fixes.")
@index_option
@click.option("--model", help="The encoder to check; for an index, the current location of its encoder.")
@click.option("--pretrained", help="The encoder's pretrained tag or weights file.")
@preprocess_option
@trust_option
@device_option
@json_option
@root_option
@click.pass_context
@errors_for_people
def doctor(
    ctx: click.Context,
    /,
    index: Path | Url,
    as_json: bool,
    **options: Any,
) -> None:
    """Check this machine, its GPUs and an index; suggest fixes.

    Prints one line per check: packages, FAISS, device, memory, disk and file system, the index, and its encoder
    (without an index, the encoder given by --model, or the demo encoder). The encoder checks cover its vectors,
    their independence of the batch size, and its speed relative to the bare forward pass. On CUDA, the vectors and
    neighbours of each GPU are compared with those of the CPU. The exit code is 3 if any check finds a fault.

    \b
    imindex doctor
    imindex doctor -i audit.h5 --device cuda:0,cuda:1
    imindex doctor --model demo-style
    imindex doctor --model ViT-L-14 --pretrained openai --json
    """
    require_folders(options["roots"])
    if isinstance(index, Url):
        raise click.UsageError(
            f"doctor checks an index on this machine. Name a copy of {index}, or run `imindex verify -i {index}`."
        )
    index_given = ctx.get_parameter_source("index") is not ParameterSource.DEFAULT
    checks = []
    for check in _examine(index, index_given, options):
        checks.append(check)
        if not as_json:
            echo(f"{check.status:<8}{check.name}: {check.said} {check.remedy}".rstrip(), hanging=8)
    by_status = {status: sum(c.status == status for c in checks) for status in ("ok", "warning", "fault")}
    if as_json:
        print_json({"index": index, "checks": [dict(vars(check)) for check in checks], "counts": by_status})
    else:
        echo(
            f"{count(len(checks), 'check')}: {by_status['ok']} ok, {count(by_status['warning'], 'warning')}, "
            f"{count(by_status['fault'], 'fault')}."
        )
    ctx.exit(REFUSED if by_status["fault"] else DONE)


def _examine(path: Path, index_given: bool, options: Mapping[str, Any]) -> Iterator[Check]:
    from imindex.indexer.doctor.index import disk_space, examine_index
    from imindex.indexer.doctor.machine import FAULT, OK, WARNING, Check, examine_machine, tried

    folder = path.absolute().parent
    faulty = set()
    for check in examine_machine(folder, options["device"]):
        if check.status == FAULT:
            faulty.add(check.name)
        yield check
    opened = named = os.path.lexists(path)
    if folder.is_dir():
        yield tried("disk", lambda: disk_space(folder, path))
    if opened:
        for check in examine_index(path):
            opened = opened and not (check.name == "index" and check.status == FAULT)
            yield check
    elif index_given:
        yield Check("index", FAULT, f"{path} does not exist.", "Build it, or name another index with -i.")
    else:
        yield Check("index", OK, f"{path} does not exist yet; name another index with -i.")
    if "device" in faulty:
        return
    if named and not opened and options["model"] is None:
        message = "Not examined: the index that names it cannot be opened."
        yield Check(
            "encoder", WARNING, message, "Name an encoder with --model to examine it without the index."
        )
        return
    yield from _examine_encoder(path if opened else None, options)


def _examine_encoder(path: Path | None, options: Mapping[str, Any]) -> Iterator[Check]:
    import contextlib

    from imindex.indexer.doctor.machine import FAULT, Check
    from imindex.indexer.store.index import Index

    try:
        from imindex.indexer.doctor.encoder import examine_encoder

        with contextlib.ExitStack() as stack:
            index = stack.enter_context(Index(path, roots_of(options))) if path is not None else None
            yield from examine_encoder(
                index.encoder if index else None,
                **{name: options[name] for name in ("model", "pretrained", "preprocess_from", "device")},
                trust=options["trust_encoder"],
                index=index,
            )
    except Exception as error:  # the examination itself failed; a failing check reports its own errors
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        yield Check("encoder", FAULT, f"{type(error).__name__}: {error}"[:500], "See the checks above.")
