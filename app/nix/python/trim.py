"""trim.py TREE: remove from unpacked wheels what a release never runs.

That is what their modules were compiled from, their own large test suites, and debug information.
"""

import shutil
import subprocess
import sys
from pathlib import Path

tree = Path(sys.argv[1])
COMPILED_FROM = {".c", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyx"}
TESTED_APART = ("numpy", "pandas")

for package in TESTED_APART:
    for tests in tree.glob(f"lib/python3.*/site-packages/{package}/**/tests"):
        shutil.rmtree(tests, ignore_errors=True)
for path in sorted(tree.rglob("*")):
    if path.is_symlink() or not path.is_file():
        continue
    if path.suffix in COMPILED_FROM:
        path.unlink()
    elif ".so" in path.suffixes and path.read_bytes()[:4] == b"\x7fELF":
        sections = subprocess.run(["readelf", "--sections", "--wide", path], capture_output=True, text=True, check=True)
        if ".debug_info" in sections.stdout:
            subprocess.run(["strip", "--strip-debug", path], check=True)
