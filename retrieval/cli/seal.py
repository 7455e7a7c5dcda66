"""The command `imindex seal`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from imindex.indexer.core.url import Url
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    index_option,
    json_option,
)
from imindex.indexer.terminal.output import count, echo, print_json
from imindex.indexer.terminal.progress import quiet_option
from imindex.retrieval.cli.verify import bar

PASSPHRASE = "IMINDEX_PASSPHRASE"
"""Environment variable with the passphrase of a private key, which others could read on the command line."""


@click.command(short_help="Write a manifest of an index for signing or time-stamping.")
@index_option
@click.option(
    "--plan", type=click.Path(path_type=Path, dir_okay=False),
    help="Also seal the audit of this plan, for plan.toml that in plan-audit/ beside it, or in --audit.",
)  # fmt: skip
@click.option(
    "--audit", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Also seal the audit in this folder.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False),
    help="Output file. [default: INDEX.seal.json]",
)  # fmt: skip
@click.option(
    "--sign", "key", type=click.Path(path_type=Path, dir_okay=False), metavar="KEY",
    help="Sign the seal with this Ed25519 private key (PEM or OpenSSH).",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite an existing seal.")
@json_option
@quiet_option
@click.option(
    "--passphrase-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help=f"Read the passphrase of the key from the first line of this file; or set ${PASSPHRASE}.",
)  # fmt: skip
@errors_for_people
def seal(  # noqa: PLR0913
    index: Path | Url,
    plan: Path | None,
    audit: Path | None,
    out: Path | None,
    key: Path | None,
    force: bool,
    as_json: bool,
    passphrase_file: Path | None,
) -> None:
    """Write the identity of an index to a small file, to be signed or time-stamped.

    The file holds the root digest, the SHA-256 of the index file, the number of rows, the log, the encoder's weights,
    versions and the time. With --plan or --audit, it also holds the digests of the plan, the register and the report,
    and of report.html, report.json, artists.csv and the tables of further questions. The index is verified first.
    --sign adds a signature, which `imindex verify --seal FILE --signer KEY.pub` checks; gpg and OpenTimestamps can sign
    and time-stamp the file.

    \b
    imindex seal -i audit.h5
    imindex seal -i plan-audit/tiny.h5 --plan plan.toml -o tiny.seal.json
    imindex seal -i audit.h5 --sign key.pem
    imindex seal -i audit.h5 --sign key.pem --passphrase-file secret.txt
    """
    from imindex.indexer.core.errors import ImindexError
    from imindex.indexer.integrity.seal import seal as sealed
    from imindex.indexer.integrity.seal import write_seal
    from imindex.indexer.integrity.verify import opened, verify_index

    folder_of_seal = Path() if isinstance(index, Url) else index.parent
    out = out or folder_of_seal / f"{index.name}.seal.json"
    if out.exists() and not force:
        raise ImindexError(f"{out} exists already. Choose another file with -o, or pass --force.")
    audit_record = None
    if plan is not None or audit is not None:
        from imindex.retrieval.audit.recompute import audit_digests

        folder = audit or (plan.with_name(f"{plan.stem}-audit") if plan else Path())
        audit_record = audit_digests(folder, plan)
    with opened(index) as opened_index:
        with bar(opened_index.n, "Verifying") as progress:
            faults = verify_index(opened_index, progress).faults
        if faults:
            raise ImindexError(
                f"{index} differs from what was written ({faults[0].where}: {faults[0].said}), so it was not sealed. "
                f"See `imindex verify -i {index}`."
            )
        manifest = sealed(opened_index, audit_record)
    if key is not None:
        from imindex.indexer.integrity.signature import sign

        manifest = sign(manifest, key, lambda: _passphrase(key, passphrase_file))
    write_seal(manifest, out)
    if as_json:
        print_json({"file": out, **manifest.to_dict()})
        return
    echo(
        f"Sealed {index} ({count(manifest.index.rows, 'row')}, root digest {manifest.index.root_digest[:12]}) in {out}"
        + (f", with the audit of plan {manifest.audit.plan[:12]}" if manifest.audit else "")
        + (f", signed by key {manifest.signature.public_key[:16]}." if manifest.signature else ".")
    )


def _passphrase(key: Path, file: Path | None) -> str:
    """Return the passphrase of a key: of the file, the environment, or the person at the terminal."""
    from imindex.indexer.system.input_files import read_text

    if file is not None:
        return read_text(file).partition("\n")[0].rstrip("\r")
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    try:
        return str(click.prompt(f"Passphrase of {key}", hide_input=True, err=True))
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise click.UsageError(
            f"{key} is encrypted, and there is no terminal to ask for its passphrase on. Pass --passphrase-file FILE, "
            f"or set ${PASSPHRASE}."
        ) from None
