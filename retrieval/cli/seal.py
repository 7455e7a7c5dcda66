"""`imindex seal`."""

from __future__ import annotations

from pathlib import Path

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    index_option,
    json_option,
)
from imindex.indexer.terminal.output import clean, count, print_json
from imindex.retrieval.cli.verify import bar


@click.command(short_help="Write a manifest of an index, to be signed or time-stamped.")
@index_option
@click.option(
    "--plan", type=click.Path(path_type=Path, dir_okay=False),
    help="Seal the audit by this plan as well; its folder is PLAN without its ending and -audit, or --audit.",
)  # fmt: skip
@click.option(
    "--audit", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Seal the audit in this folder as well.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False),
    help="The file. [default: INDEX.seal.json]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite a seal that is there.")
@json_option
@errors_for_people
def seal(
    index: Path, plan: Path | None, audit: Path | None, out: Path | None, force: bool, as_json: bool
) -> None:
    """Write down what an index is, in a small file to be signed or time-stamped by other tools.

    It holds the root digest, the SHA-256 of the file, rows, the encoder's weights, versions and the time; with --plan
    or --audit also the digests of the plan, of the register and of the report. The index is verified first.

    \b
    imindex seal -i audit.h5
    imindex seal -i plan-audit/tiny.h5 --plan plan.toml -o tiny.seal.json
    """
    from imindex.indexer.core.errors import ImindexError
    from imindex.indexer.integrity.seal import seal as sealed
    from imindex.indexer.integrity.seal import write_seal
    from imindex.indexer.integrity.verify import opened, verify_index

    out = out or index.with_name(f"{index.name}.seal.json")
    if out.exists() and not force:
        raise ImindexError(f"{out} is there already. Name another file with -o, or pass --force.")
    about = None
    if plan is not None or audit is not None:
        from imindex.retrieval.audit.recompute import audit_digests

        folder = audit or (plan.with_name(f"{plan.stem}-audit") if plan else Path())
        about = audit_digests(folder, plan)
    with opened(index) as one:
        with bar(one.n, "Verifying") as progress:
            faults = verify_index(one, progress).faults
        if faults:
            raise ImindexError(
                f"{index} is not what was written ({faults[0].where}: {faults[0].said}), and was not sealed. See "
                f"`imindex verify -i {index}`."
            )
        manifest = sealed(one, about)
    write_seal(manifest, out)
    if as_json:
        print_json({"file": out, **manifest.to_dict()})
        return
    click.echo(
        f"Sealed {clean(str(index))} ({count(manifest.index.rows, 'row')}, root digest "
        f"{manifest.index.root_digest[:12]}) in {clean(str(out))}."
    )
