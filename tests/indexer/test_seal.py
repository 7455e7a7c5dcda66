"""Seals: matches are reported, an edited seal is refused, and a faulty index is not sealed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.provenance import entry
from imindex.indexer.integrity.verify import verify
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from tests.support.commands import last_line, run
from tests.support.places import ROOT
from tests.support.whole_index import DIM, save, whole

SOUND = {"file": "identical", "content": "identical", "encoder": "identical", "log": "identical"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "i.h5")
    return tmp_path / "i.h5"


@pytest.fixture
def seal(path: Path) -> Path:
    run("seal", "-i", path)
    return path.with_name("i.h5.seal.json")


def matches(path: Path, seal: Path, code: int = 0) -> dict[str, str]:
    said = json.loads(run("verify", "-i", path, "--seal", seal, "--json", code=code).stdout)
    return {one["what"]: one["status"] for one in said["seal"]["matches"]}


def test_a_seal_is_canonical_json_about_the_file(path: Path, seal: Path) -> None:
    data = seal.read_bytes()
    said = json.loads(data)
    assert (
        json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" == data
    )
    with Index(path) as index:
        log = json.dumps(index.log(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        with h5py.File(path) as file:
            rest = {name: file["digests"].attrs[name] for name in ("attributes", "ann", "stamps", "log")}
        assert said["index"] == {
            "name": "i.h5", "bytes": path.stat().st_size, "format": "1.4", "rows": 12, "rejects": 2,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "root-digest": index.root_digest,
            "created-at": "2026-01-01T00:00:00+00:00", "created-by": "imindex test", "log-lines": 2,
            "log-digest": hashlib.sha256(log.encode()).hexdigest(), "digests": rest,
        }  # fmt: skip
    unsigned = {key: value for key, value in said.items() if key not in ("digest", "signature")}
    canonical = json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert said["digest"] == hashlib.sha256(canonical.encode()).hexdigest() and said["signature"] is None
    with Index(path) as index:
        assert said["encoder"]["weights-sha256"] == index.encoder.weights_sha256
    assert said["audit"] is None and len(data) < 2_500
    assert matches(path, seal) == SOUND
    assert "exists already" in run("seal", "-i", path, code=1).stderr
    run("seal", "-i", path, "--force")


def test_a_rewritten_file_has_the_same_content(path: Path, seal: Path) -> None:
    contents, vectors = whole(12)
    with Index(path) as index:
        contents = replace(contents, log=index.log())
        root = index.root_digest
    how = {"ann": ann.describe(), "ann_data": ann.exact_header(12, DIM)}
    write(path, contents, [vectors], entry=entry("", "as it was", root), **how)
    assert matches(path, seal) == {**SOUND, "file": "rewritten", "log": "rewritten"}
    result = run("verify", "-i", path, "--seal", seal)
    assert "rewritten   file: different bytes with the same content" in result.stdout
    contents.items["width"] = contents.items["width"] + np.int32(1)
    write(path, contents, [vectors], entry=entry("", "other widths", root), **how)
    run("verify", "-i", path)  # sound, but not what was sealed
    assert matches(path, seal, code=3) == {
        **SOUND,
        "file": "differs",
        "content": "differs",
        "log": "rewritten",
    }
    assert "fault   seal: content" in run("verify", "-i", path, "--seal", seal, code=3).stdout


def test_content_is_recomputed_and_not_taken_from_the_file(path: Path, seal: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["items/seed"][2] = 77
    assert matches(path, seal, code=3)["content"] == "differs"
    assert "was not sealed" in run("seal", "-i", path, "--force", code=1).stderr


def test_an_edited_seal_is_refused(path: Path, seal: Path) -> None:
    good = seal.read_text()
    for bad, message in (
        (good.replace('"rows":12', '"rows": 12'), "was edited or reformatted since `imindex seal` wrote it"),
        (json.dumps({**json.loads(good), "more": 1}), "was edited or reformatted since `imindex seal` wrote it"),
        (good.replace("imindex-seal", "another"), "not the seal of an index"),
        (good.replace('"version":"1.2"', '"version":"9.0"'), "seal of version 9.0"),
        (good.replace('"version":"1.2"', '"version":"1.1"'), "was edited or reformatted since"),
        (good.replace('"rows":12', '"rows":13'), "was edited or reformatted since `imindex seal` wrote it"),
        (good.replace('"precision":"fp32"', '"precision":"bf16"'), "was edited or reformatted since"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (" " * 2_000_000, "more than 1,048,576 bytes"),
        ("[]", "not the seal of an index"),
        ("{", "is not a seal"),
        ('{"audit":null,"encoder":{},"format":"imindex-seal","index":{},"program":"","version":"1.0","versions":{},'
         '"when":""}\n', "was edited or reformatted since `imindex seal` wrote it"),
    ):  # fmt: skip
        seal.write_text(bad)
        assert message in run("verify", "-i", path, "--seal", seal, code=1).stderr, bad
    seal.unlink()
    assert "does not exist" in run("verify", "-i", path, "--seal", seal, code=1).stderr
    assert last_line(run("seal", "-i", path, "-o", seal)).startswith(f"Sealed {path} (12 rows, root digest ")


def edited(seal: Path, *keys: str, value: object) -> None:
    """Edit a seal, and give it the digest that fits."""
    manifest = json.loads(seal.read_text())
    place = manifest
    for key in keys[:-1]:
        place = place[key]
    assert place[keys[-1]] != value
    place[keys[-1]] = value
    unsigned = {key: value for key, value in manifest.items() if key not in ("digest", "signature")}
    manifest["digest"] = hashlib.sha256(canonical_json(unsigned).encode()).hexdigest()
    seal.write_text(canonical_json(manifest) + "\n")


@pytest.mark.parametrize(
    ("keys", "value", "what"),
    [
        (("index", "rows"), 13, "rows"),
        (("index", "rejects"), 1, "rejects"),
        (("index", "bytes"), 1, "bytes"),
        (("index", "format"), "1.0", "format"),
        (("index", "sha256"), "0" * 64, "content"),
        (("index", "root-digest"), "0" * 64, "content"),
        (("index", "created-at"), "2025-01-01T00:00:00+00:00", "created-at"),
        (("index", "created-by"), "imindex 0", "created-by"),
        (("index", "log-lines"), 1, "log"),
        (("index", "log-lines"), 3, "log"),
        (("index", "log-digest"), "0" * 64, "log"),
        (("index", "digests", "stamps"), "0" * 64, "stamps"),
        (("index", "digests", "ann"), "0" * 64, "ann"),
        (("index", "digests", "attributes"), "0" * 64, "attributes"),
        (("encoder", "precision"), "bf16", "encoder"),
        (("encoder", "dim"), 9, "encoder"),
        (("encoder", "name"), "ViT-L-14/openai", "encoder name"),
        (("encoder", "weights-sha256"), "0" * 64, "encoder"),
    ],
)
def test_every_field_of_a_seal_is_compared(
    path: Path, seal: Path, keys: tuple[str, ...], value: object, what: str
) -> None:
    edited(seal, *keys, value=value)
    if keys == ("index", "sha256"):  # that of another file with the same content
        assert matches(path, seal) == {**SOUND, "file": "rewritten"}
        return
    assert matches(path, seal, code=3)[what] == "differs"


@pytest.mark.parametrize("name", ["when", "who", "command", "summary", "versions"])
def test_a_rewritten_history_is_found_although_its_digests_are_right(
    path: Path, seal: Path, name: str
) -> None:
    with Index(path) as index:
        contents, vectors, log = index.contents(), np.array(index.vectors), index.log()
    how = {"ann": ann.describe(), "ann_data": ann.exact_header(12, DIM)}
    for number in (0, 1):
        lines = [dict(line) for line in log]
        lines[number][name] = "forged"
        write(path, replace(contents, log=lines[:1]), [vectors], entry=lines[1], **how)
        assert not verify(path).faults
        assert matches(path, seal, code=3) == {**SOUND, "file": "rewritten", "log": "differs"}
    said = run("verify", "-i", path, "--seal", seal, code=3).stdout
    assert "fault   seal: log: a sealed line differs: who changed the file, when or how was edited" in said
    write(path, replace(contents, log=()), [vectors], entry={**log[1], "digest-before": ""}, **how)
    assert "has 1 line, sealed were 2" in run("verify", "-i", path, "--seal", seal, code=3).stdout
    write(
        path, replace(contents, log=log), [vectors], entry=entry("", "again", log[-1]["digest-after"]), **how
    )
    assert matches(path, seal)["log"] == "rewritten"  # a longer log is the rule, not a fault


def test_rewritten_stamps_and_attributes_need_a_line_in_the_log(path: Path, seal: Path) -> None:
    with Index(path) as index:
        contents, vectors, log = index.contents(), np.array(index.vectors), index.log()
    how = {"ann": ann.describe(), "ann_data": ann.exact_header(12, DIM)}
    assert contents.item_stamps is not None
    stamps = replace(contents, log=log[:1], item_stamps=contents.item_stamps + 1)
    write(path, stamps, [vectors], entry=log[1], **how)
    assert matches(path, seal, code=3)["stamps"] == "differs"
    write(path, replace(stamps, log=log), [vectors], entry=entry("", "", log[-1]["digest-after"]), **how)
    assert matches(path, seal) == {**SOUND, "file": "rewritten", "log": "rewritten"}
    write(
        path,
        replace(contents, log=log[:1], created_at="2020-01-01T00:00:00+00:00"),
        [vectors],
        entry=log[1],
        **how,
    )
    assert matches(path, seal, code=3)["created-at"] == "differs"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_seals_of_older_versions_are_still_read_and_compared(path: Path, seal: Path, version: str) -> None:
    manifest = json.loads(seal.read_text())
    old = {key: value for key, value in manifest.items() if key not in ("digest", "signature")}
    old["version"] = version
    for key in ("created-at", "created-by", "log-lines", "log-digest", "digests"):
        del old["index"][key]
    del old["encoder"]["name"]
    seal.write_text(canonical_json(old) + "\n")
    assert matches(path, seal) == {**SOUND, "log": "not checked"}
    old["index"]["rows"] = 13
    seal.write_text(canonical_json(old) + "\n")
    assert matches(path, seal, code=3)["rows"] == "differs"


def test_a_line_added_since_the_seal_is_not_older_than_it(path: Path, seal: Path) -> None:
    with Index(path) as index:
        contents, vectors, log = index.contents(), np.array(index.vectors), index.log()
    how = {"ann": ann.describe(), "ann_data": ann.exact_header(12, DIM)}
    line = {
        **entry("imindex migrate", "migrate", log[-1]["digest-after"]),
        "when": "2001-01-01T00:00:00+00:00",
    }
    other = replace(contents, log=log, encoder=replace(contents.encoder, model="ViT-L-14"))
    write(path, other, [vectors], entry=line, **how)
    assert matches(path, seal, code=3)["log"] == "differs"
    said = run("verify", "-i", path, "--seal", seal, code=3).stdout
    assert "is dated 2001-01-01T00:00:00+00:00, before the seal" in said
    assert "rewritten   encoder name: the index names ViT-L-14/a/weights.pt, sealed demo/a/weights.pt" in said


# Signatures


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Key pairs in both formats: PEM by `cryptography`, OpenSSH encrypted with the passphrase "open sesame"."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    made = {}
    for name, private_form, public_form, encoding, lock in (
        ("pem", form.PrivateFormat.PKCS8, form.PublicFormat.SubjectPublicKeyInfo, form.Encoding.PEM,
         form.NoEncryption()),
        ("ssh", form.PrivateFormat.OpenSSH, form.PublicFormat.OpenSSH, form.Encoding.PEM,
         form.BestAvailableEncryption(b"open sesame")),
    ):  # fmt: skip
        key = Ed25519PrivateKey.generate()
        public_encoding = form.Encoding.OpenSSH if name == "ssh" else encoding
        made[name], made[f"{name}.pub"] = tmp_path / name, tmp_path / f"{name}.pub"
        made[name].write_bytes(key.private_bytes(encoding, private_form, lock))
        made[f"{name}.pub"].write_bytes(key.public_key().public_bytes(public_encoding, public_form))
    made["other"] = tmp_path / "other"
    made["other"].write_bytes(
        X25519PrivateKey.generate().private_bytes(
            form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
        )
    )
    return made


@pytest.mark.parametrize("name", ["pem", "ssh"])
def test_a_seal_signed_by_a_key_is_verified_by_its_public_key(
    path: Path, tmp_path: Path, keys: dict[str, Path], name: str
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    seal = tmp_path / "signed.json"
    said = run("seal", "-i", path, "-o", seal, "--sign", keys[name], input="open sesame\n").stdout
    manifest = json.loads(seal.read_text())
    signature = manifest.pop("signature")
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature["public-key"]))
    public.verify(
        bytes.fromhex(signature["value"]), canonical_json(manifest).encode()
    )  # as CUSTODY.md describes it
    assert f"signed by key {signature['public-key'][:16]}." in said
    check = ("verify", "-i", path, "--seal", seal)
    result = run(*check, "--signer", keys[f"{name}.pub"])
    assert f"identical   signature: by key {signature['public-key'][:16]}, as in " in result.stdout
    assert "not checked signature: valid, by key" in run(*check).stdout
    other = keys["ssh.pub" if name == "pem" else "pem.pub"]
    assert "fault   seal: signature: signed by key" in run(*check, "--signer", other, code=3).stdout
    edited(seal, "program", value="imindex 9")
    for signer in ((), ("--signer", keys[f"{name}.pub"])):
        assert "does not fit the seal" in run(*check, *signer, code=3).stdout
    edited(seal, "signature", value=None)
    assert "the seal is not signed" in run(*check, "--signer", keys[f"{name}.pub"], code=3).stdout


def test_a_passphrase_comes_from_a_file_or_the_environment(
    path: Path, keys: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign, secret = ("seal", "-i", path, "--force", "--sign", keys["ssh"]), tmp_path / "secret"
    said = run(*sign, input="", code=2).stderr
    assert (
        "no terminal to ask for its passphrase on. Pass --passphrase-file FILE, or set $IMINDEX_PASSPHRASE"
        in said
    )
    for text, code in (("open sesame", 0), ("open sesame\r\nmore\n", 0), ("open sesame ", 1), ("\n", 1)):
        secret.write_bytes(text.encode())
        run(*sign, "--passphrase-file", secret, input="", code=code)
    assert "missing" in run(*sign, "--passphrase-file", tmp_path / "missing", code=1).stderr
    monkeypatch.setenv("IMINDEX_PASSPHRASE", "open sesame")
    run(*sign, input="")
    secret.write_text("another\n")
    run(*sign, "--passphrase-file", secret, code=1)  # what was named last counts more
    run("seal", "-i", path, "--force", "--sign", keys["pem"])  # needs none


def test_keys_that_cannot_sign_or_verify_are_refused_with_the_reason(
    path: Path, seal: Path, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = ("seal", "-i", path, "--force", "--sign")
    assert "is not an Ed25519 key" in run(*sign, keys["other"], code=1).stderr
    assert "cannot be read as a private key" in run(*sign, path, code=1).stderr
    assert (
        "cannot be read as a private key: wrong passphrase"
        in run(*sign, keys["ssh"], input="no\n", code=1).stderr
    )
    check = ("verify", "-i", path, "--seal", seal, "--signer")
    assert "is a private key; --signer takes the public one" in run(*check, keys["pem"], code=1).stderr
    assert "cannot be read as a public key" in run(*check, seal, code=1).stderr
    assert (
        "pass the seal with --seal" in run("verify", "-i", path, "--signer", keys["pem.pub"], code=2).stderr
    )
    run("seal", "-i", path, "--force", "--sign", keys["pem"])
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert "pip install 'imindex[sign]'" in run(*sign, keys["pem"], code=1).stderr
    assert "pip install 'imindex[sign]'" in run(*check, keys["pem.pub"], code=1).stderr
    assert "not checked signature: Signatures need" in run("verify", "-i", path, "--seal", seal).stdout


@pytest.fixture
def gpg() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run gpg with a temporary key."""
    home = Path(tempfile.mkdtemp())  # its sockets need a short path
    home.chmod(0o700)
    environment = {**os.environ, "GNUPGHOME": str(home)}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["gpg", "--batch", *words], env=environment, capture_output=True, text=True, check=False
        )

    try:
        made = call("--passphrase", "", "--quick-gen-key", "test@example.org", "default", "default")
        assert made.returncode == 0, made.stderr
        yield call
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")
def test_signature_example_in_custody_md(path: Path, seal: Path, gpg: Callable[..., Any]) -> None:
    text = (ROOT / "indexer/CUSTODY.md").read_text(encoding="utf-8")
    shown = [line.partition("#")[0] for line in text.splitlines() if line.startswith("gpg ")]
    sign, check = (line.replace("audit.h5.seal.json", str(seal)).split()[1:] for line in shown)
    assert gpg(*sign).returncode == 0
    assert "Good signature" in gpg(*check).stderr
    assert matches(path, seal)["content"] == "identical"
    seal.write_text(seal.read_text().replace('"rows":12', '"rows":13'))
    assert "BAD signature" in gpg(*check).stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_key_example_in_custody_md(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        (ROOT / "indexer/CUSTODY.md")
        .read_text(encoding="utf-8")
        .partition("### Sign it with a key of your own")[2]
    )
    block = text.split("```")[1].partition("\n")[2]
    lines = [line.partition("#")[0].split() for line in block.splitlines()]
    assert [words[0] for words in lines] == ["pip", "openssl", "openssl", "imindex", "imindex"]
    monkeypatch.chdir(tmp_path)
    path.rename("audit.h5")
    for words in lines[1:3]:
        subprocess.run(words, check=True, capture_output=True)
    for words in lines[3:]:
        run(*words[1:])
