"""wheel.py TREE OUTPUT: a wheel of an unpacked tree that has its dist-info, the same bytes from the same tree."""

import base64
import hashlib
import re
import sys
import zipfile
from pathlib import Path

tree, output = map(Path, sys.argv[1:])
information = next(tree.glob("*.dist-info"))
tags = re.findall(r"^Tag: (\S+)$", (information / "WHEEL").read_text(), re.MULTILINE)
name = f"{information.name.removesuffix('.dist-info')}-{tags[0]}.whl"
record = information / "RECORD"
files = sorted(path for path in tree.rglob("*") if path.is_file() and path != record)


def entry(path: Path) -> zipfile.ZipInfo:
    """Return how a file stands in the archive: without a time or owner of its own."""
    information = zipfile.ZipInfo(str(path.relative_to(tree)), date_time=(1980, 1, 1, 0, 0, 0))
    information.compress_type = zipfile.ZIP_DEFLATED
    information.external_attr = (0o100755 if path.suffix == ".so" else 0o100644) << 16
    return information


lines = []
with zipfile.ZipFile(output / name, "w") as wheel:
    for path in files:
        content = path.read_bytes()
        wheel.writestr(entry(path), content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path.relative_to(tree)},sha256={digest},{len(content)}\n")
    lines.append(f"{record.relative_to(tree)},,\n")
    wheel.writestr(entry(record), "".join(lines))
