"""Ed25519 signatures of seals (RFC 8032), by a key of the user's own. Needs the extra `imindex[sign]`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.integrity.seal import DIFFERS, IDENTICAL, UNCHECKED, Match, Seal, Signature
from imindex.indexer.system.input_files import open_input

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "Ed25519"
_MAX_BYTES = 2**16
_HOW = "`openssl genpkey -algorithm ed25519 -out key.pem` or `ssh-keygen -t ed25519` makes one"


class NeedsPassphrase(ImindexError):
    """The private key is encrypted, and no passphrase was given."""


def sign(manifest: Seal, key: Path, passphrase: Callable[[], str] | None = None) -> Seal:
    """Return a seal with the signature of a private key.

    Parameters
    ----------
    manifest : Seal
    key : Path
        An Ed25519 private key: PEM (PKCS #8) or OpenSSH, encrypted or not.
    passphrase : callable, optional
        Asks for the passphrase, if the key is encrypted.

    Raises
    ------
    ImindexError
        If `cryptography` is not installed, or the file is not such a key.
    """
    private = _private_key(key, passphrase)
    public = private.public_key().public_bytes_raw().hex()
    unsigned = msgspec.structs.replace(manifest, signature=None)
    value = private.sign(unsigned.signed_bytes()).hex()
    return msgspec.structs.replace(
        unsigned, signature=Signature(algorithm=ALGORITHM, public_key=public, value=value)
    )


def check_signature(manifest: Seal, signer: Path | None) -> list[Match]:
    """Check the signature of a seal.

    Parameters
    ----------
    manifest : Seal
    signer : Path, optional
        The public key that must have signed it: PEM or OpenSSH. Without it, a valid signature only shows that the seal
        is unchanged since the holder of some key signed it.

    Returns
    -------
    list of Match
        Empty if the seal is not signed and no signer was named.

    Raises
    ------
    ImindexError
        If `signer` is not a public key, or is given and `cryptography` is not installed.
    """
    expected = _public_key(signer).public_bytes_raw().hex() if signer is not None else None
    signature = manifest.signature
    if signature is None:
        return [] if expected is None else [Match("signature", DIFFERS, "the seal is not signed")]
    who = f"key {signature.public_key[:16]}"
    if expected is None:
        try:
            _require_cryptography()
        except ImindexError as error:
            return [Match("signature", UNCHECKED, str(error))]
    if not _is_valid(signature, manifest.signed_bytes()):
        return [Match("signature", DIFFERS, f"the signature by {who} does not fit the seal")]
    if expected is None:
        said = f"valid, by {who}; pass --signer to check whose key that is"
        return [Match("signature", UNCHECKED, said)]
    if expected != signature.public_key:
        return [Match("signature", DIFFERS, f"signed by {who}, not by that of {signer}, {expected[:16]}")]
    return [Match("signature", IDENTICAL, f"by {who}, as in {signer}")]


def _is_valid(signature: Signature, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if signature.algorithm != ALGORITHM:
        return False
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.public_key))
        public.verify(bytes.fromhex(signature.value), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _private_key(path: Path, passphrase: Callable[[], str] | None) -> Ed25519PrivateKey:
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    data = _read(path, "a private key")
    if b"PUBLIC KEY" in data or data.startswith(b"ssh-"):
        raise ImindexError(f"{path} is a public key; --sign takes the private one.")
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        try:
            key = load(data, None)
        except TypeError:  # it is encrypted
            if passphrase is None:
                raise NeedsPassphrase(f"{path} is encrypted, and needs its passphrase.") from None
            key = load(data, passphrase().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ImindexError(
            f"{path} cannot be read as a private key: wrong passphrase, or not a PEM or OpenSSH file ({error}). {_HOW}."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ImindexError(f"{path} is not an {ALGORITHM} key. {_HOW}.")
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key

    data = _read(path, "a public key")
    if b"PRIVATE KEY" in data:
        raise ImindexError(
            f"{path} is a private key; --signer takes the public one. `openssl pkey -in {path} -pubout` prints it."
        )
    try:
        key = load_ssh_public_key(data) if data.startswith(b"ssh-") else load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ImindexError(f"{path} cannot be read as a public key (PEM or OpenSSH): {error}.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ImindexError(f"{path} is not an {ALGORITHM} key. {_HOW}.")
    return key


def _read(path: Path, what: str) -> bytes:
    try:
        with open_input(path) as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ImindexError(f"{path} cannot be read as {what}: {error.strerror}.") from error
    if len(data) > _MAX_BYTES:
        raise ImindexError(f"{path} is too large to be {what}.")
    return data


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise ImindexError(
            "Signatures need the package cryptography. Install it with `pip install 'imindex[sign]'`."
        ) from None
