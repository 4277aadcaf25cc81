"""Import every module of the application and fail if a shared object is mapped from outside the store."""

import importlib
import pkgutil
import re
import sys
from pathlib import Path

import holdfast

for module in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
    if not re.search(r"__main__|\.bench\.", module.name):
        importlib.import_module(module.name)
mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
outside = sorted(path for path in mapped if ".so" in path and not path.startswith("/nix/store/"))
sys.stdout.write(
    f"{sum('.so' in path for path in mapped)} shared objects mapped, {len(outside)} from outside the store\n"
)
sys.exit(f"mapped from outside the store: {', '.join(outside)}" if outside else 0)
