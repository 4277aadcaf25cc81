"""What a signature says: a statement of one line of JSON about one archive, signed with ed25519.

The statement names the digest of the archive's manifest (what container engines call the image's digest) and the hash
and size of the archive itself, so that every byte of the file is covered, those between the blobs as well.
"""

import base64
import binascii
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from holdfast_release import ed25519
from holdfast_release.refusal import Reason, Refused

# The DER of every ed25519 public key begins so; its last 32 bytes are the key. Source: RFC 8410, section 4.
KEY_PREFIX = bytes.fromhex("302a300506032b6570032100")
KEY_BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END PUBLIC KEY-----")
KIND = "holdfast-release"
HOW_TO_MAKE_KEYS = "openssl genpkey -algorithm ed25519 -out K, then openssl pkey -in K -pubout -out K.pub"


@dataclass(frozen=True)
class Statement:
    """What is signed."""

    archive_bytes: int
    archive_sha256: str
    digest: str
    name: str
    version: str

    def text(self) -> str:
        """Return the one line of JSON that is signed."""
        return json.dumps({"kind": KIND, **asdict(self)}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the statement of a line that `text` made. Raises: ValueError, TypeError when it is another kind."""
        fields = json.loads(text)
        if fields.pop("kind", None) != KIND:
            raise ValueError("not a statement about a release")
        return cls(**fields)


def signature_path(archive: Path) -> Path:
    """Return where an archive's signature is looked for."""
    return archive.with_name(archive.name + ".sig")


def signature_document(statement: Statement, signature: bytes) -> str:
    """Return the text of a signature file."""
    return json.dumps({"statement": statement.text(), "signature": signature.hex()}, indent=1) + "\n"


def read_public_keys(path: Path) -> list[bytes]:
    """Return the keys of a PEM file; there may be several while one replaces another.

    Raises: Refused when there is none, or something else.
    """
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(Reason.BAD_KEY, f"cannot read the public key {path}: {error}; expected a PEM file") from error
    keys = []
    for block in KEY_BLOCK.findall(text):
        der = base64.b64decode(block)
        if len(der) != len(KEY_PREFIX) + 32 or not der.startswith(KEY_PREFIX):
            raise Refused(Reason.BAD_KEY, f"{path} holds a key that is not ed25519; make one: {HOW_TO_MAKE_KEYS}")
        keys.append(der[len(KEY_PREFIX) :])
    if not keys:
        raise Refused(Reason.BAD_KEY, f"{path} holds no PEM public key; make one: {HOW_TO_MAKE_KEYS}")
    return keys


def check_signature(document: Path, keys: list[bytes]) -> Statement:
    """Return what a signature file states, once one of the keys proves it.

    Raises: Refused when it is missing, not a signature file, or made with another key.
    """
    try:
        text = document.read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise Refused(
            Reason.UNSIGNED, f"no signature at {document}: copy the .sig file that was released with the archive"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(Reason.MALFORMED, f"cannot read the signature {document}: {error}") from error
    return check_signature_text(text, str(document), keys)


def check_signature_text(text: str, where: str, keys: list[bytes]) -> Statement:
    """Return what the text of a signature file states, once one of the keys proves it."""
    try:
        fields = json.loads(text)
        stated, signature = str(fields["statement"]), bytes.fromhex(fields["signature"])
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise Refused(Reason.MALFORMED, f"{where} is not a signature file: {error}; fetch it again") from error
    if not any(ed25519.verify(key, stated.encode(), signature) for key in keys):
        raise Refused(
            Reason.WRONG_KEY,
            f"{where} was not made with this host's release key, or was changed: compare the key with the publisher's",
        )
    try:
        return Statement.parse(stated)
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(
            Reason.MALFORMED, f"{where} is a signature of something else ({error}); expected a holdfast-release"
        ) from error
