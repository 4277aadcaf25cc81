"""Sign an archive: write ARCHIVE.sig and, beside it, release.pub. `--make` makes the key if there is none."""

import argparse
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from holdfast_release.signature import Statement, signature_document, signature_path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--key", type=Path, required=True)
parser.add_argument("--archive", type=Path, required=True)
parser.add_argument("--make", action="store_true")
options = parser.parse_args()
key_file: Path = options.key
archive: Path = options.archive
if options.make and not key_file.exists():
    made = Ed25519PrivateKey.generate()
    key_file.touch(mode=0o600)
    key_file.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
key = load_pem_private_key(key_file.read_bytes(), password=None)
if not isinstance(key, Ed25519PrivateKey):
    raise SystemExit(f"{key_file} is not an ed25519 key; make one: openssl genpkey -algorithm ed25519 -out {key_file}")
statement = Statement.parse((archive.parent / "statement.json").read_text())
signature_path(archive).write_text(signature_document(statement, key.sign(statement.text().encode())))
(archive.parent / "release.pub").write_bytes(
    key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)
