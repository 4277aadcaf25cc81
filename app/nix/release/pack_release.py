"""pack_release.py OUTPUT: the archive, its statement that is to be signed, and the installer as one file."""

import json
import os
import sys
import zipfile
from pathlib import Path

from holdfast_release.archive import DatabaseRange
from holdfast_release.pack import Contents, PackedLayer, describe_archive, write_archive

output = Path(sys.argv[1])
version = os.environ["version"]
archive = output / f"holdfast-{version}.oci.tar"
contents = Contents(
    version=version,
    root=Path(os.environ["root"]).name,
    database=DatabaseRange(**json.loads(os.environ["database"])),
    image=json.loads(os.environ["config"]),
)
layers = [PackedLayer.load(Path(path)) for path in os.environ["layers"].split()]
digest = write_archive(contents, layers, archive)
statement = describe_archive(archive, digest=digest, name="holdfast", version=version)
(output / "statement.json").write_text(statement.text())

package = Path(os.environ["packer"]) / "app/holdfast_release"
sources = {f"holdfast_release/{path.name}": path.read_text() for path in sorted(package.glob("*.py"))}
sources["__main__.py"] = "import sys\nfrom holdfast_release.cli import main\nsys.exit(main())\n"
installer = output / "holdfast-release"
with installer.open("wb") as file:
    file.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(file, "w") as zipped:
        for name, text in sorted(sources.items()):
            zipped.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), text)
installer.chmod(0o755)
