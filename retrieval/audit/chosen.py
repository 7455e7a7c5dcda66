"""How the encoders of a plan were chosen: the protocol file that the plan records, checked against plan and index."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.input_files import read_input
from imindex.retrieval.audit.plan import EncoderSpec, Plan
from imindex.retrieval.protocol.compare import digests_of_works
from imindex.retrieval.results import ComparedEncoder, EncoderChoice, EncoderComparison, from_json, to_json

PROTOCOL = "encoder protocol "
"""Begins the keys of protocol files among the digests of the inputs."""
LISTED = 3


def save_comparison(result: EncoderComparison, file: Path) -> Path | None:
    """Write a comparison, and keep another one that it replaces: a plan may name it.

    Parameters
    ----------
    result : EncoderComparison
    file : Path
        Such as encoders/encoders.json.

    Returns
    -------
    Path or None
        The file in the same folder that has the replaced comparison now, if there was one.
    """
    kept, data = None, to_json(result, indent=1)
    with suppress(FileNotFoundError):
        before = read_input(file)
        if before != data:
            kept = kept_as(file, hashlib.sha256(before).hexdigest())
            write_file(kept, before)
    write_file(file, data)
    return kept


def kept_as(file: Path, sha256: str) -> Path:
    """Return where `save_comparison` keeps a replaced comparison of this digest."""
    return file.with_name(f"{file.stem}-{sha256[:12]}{file.suffix}")


def protocol_digests(plan: Plan) -> dict[str, str]:
    """Return the SHA-256 of each protocol file that the plan records, by a key that begins with `PROTOCOL`.

    Raises
    ------
    ImindexError
        A file does not exist, or is not the one by which the encoder was chosen.
    """
    return {
        f"{PROTOCOL}{spec.chosen_by}": hashlib.sha256(_protocol(plan, spec)).hexdigest()
        for spec in plan.encoders
        if spec.chosen_by
    }


def _protocol(plan: Plan, spec: EncoderSpec) -> bytes:
    """Return the file by which an encoder was chosen, or the one that `save_comparison` kept when it was replaced."""
    path = plan.at(spec.chosen_by)
    if re.fullmatch("[0-9a-f]{64}", spec.chosen_sha256):
        for place in (path, kept_as(path, spec.chosen_sha256)):
            with suppress(OSError):
                data = read_input(place)
                if hashlib.sha256(data).hexdigest() == spec.chosen_sha256:
                    return data
    try:
        digest = hashlib.sha256(read_input(path)).hexdigest()
    except OSError as error:
        raise ImindexError(
            f"{plan.path}: {spec.name} was chosen by {path}, which cannot be read ({error.strerror or error}). Restore "
            "it, or remove chosen_by, chosen_sha256 and chosen_on from the encoder."
        ) from error
    raise ImindexError(
        f"{plan.path}: {path} has changed since {spec.name} was chosen by it: its SHA-256 is {digest[:12]}, and "
        f"the plan records {spec.chosen_sha256[:12] or 'none'}. Restore the file, or choose again with "
        "`imindex encoders compare --choose`."
    )


def choice_of(plan: Plan, spec: EncoderSpec, index: Index) -> EncoderChoice | None:
    """Describe how an encoder of an audit was chosen; None if the plan does not record it.

    Parameters
    ----------
    plan : Plan
    spec : EncoderSpec
    index : Index
        The audit's index of this encoder.
    """
    if not spec.chosen_by:
        return None
    protocol = from_json(EncoderComparison, _protocol(plan, spec), str(plan.at(spec.chosen_by)))
    rule = protocol.recommendation
    return EncoderChoice(
        protocol=spec.chosen_by,
        sha256=spec.chosen_sha256,
        compared_on=protocol.created,
        n_encoders=len(protocol.encoders),
        n_works=protocol.works.n_works,
        n_artists=protocol.works.n_artists,
        works_sha256=protocol.works.works_sha256,
        imitations_present=protocol.imitations_present,
        recommended=spec.name in (rule.highest, *rule.not_told_apart),
        differences=tuple(_differences(protocol, spec, index)),
    )


def _differences(protocol: EncoderComparison, spec: EncoderSpec, index: Index) -> Iterator[str]:
    """Say what differs between an audit and the comparison by which its encoder was chosen."""
    compared = next((one for one in protocol.encoders if one.name == spec.name), None)
    if compared is None:
        yield f"The comparison has no encoder {spec.name}."
    else:
        yield from _other_encoder(compared, index.encoder)
    yield from _other_works(
        {one.artist: one.works_sha256 for one in protocol.artists}, digests_of_works(index)
    )


def _other_encoder(compared: ComparedEncoder, info: EncoderInfo) -> Iterator[str]:
    """Say what differs between the encoder that was compared and the one that is used."""
    if compared.weights_sha256 != info.weights_sha256:
        yield "The weights of the encoder are not those that were compared."
    if (compared.precision, compared.color) != (info.precision, info.color):
        yield (
            f"The encoder was compared at {compared.precision} with colours {compared.color}, and is used at "
            f"{info.precision} with colours {info.color}."
        )
    if compared.dim != info.dim:
        yield f"The vectors that were compared have {compared.dim:,} dimensions, and those used have {info.dim:,}."
    known = (compared.weights_sha256, compared.precision, compared.color, compared.dim)
    same = known == (info.weights_sha256, info.precision, info.color, info.dim)
    if not compared.identity_sha256:
        yield (
            "The comparison does not record the configuration and preprocessing of the encoder, such as its pooling "
            "and the size of pictures: whether these are the ones that were compared is not known."
        )
    elif same and compared.identity_sha256 != json_digest(info.identity()):
        models = [_called(one.model, one.pretrained) for one in (compared, info)]
        names = f": {models[0]} was compared, and {models[1]} is used" if models[0] != models[1] else ""
        yield (
            "The configuration or preprocessing of the encoder, such as its pooling or the size of pictures, is not "
            f"the one that was compared{names}."
        )


def _called(model: str, pretrained: str) -> str:
    return f"{model} with {pretrained}" if pretrained else model


def _other_works(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    changed = [name for name in now if name in then and then[name] != now[name]]
    for names, what in (
        (changed, "Artists with other works than those compared"),
        ([name for name in now if name not in then], "Artists of the audit that were not compared"),
        ([name for name in then if name not in now], "Artists compared that are not in the audit"),
    ):
        if names:
            more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
            yield f"{what}: {', '.join(names[:LISTED])}{more}."
