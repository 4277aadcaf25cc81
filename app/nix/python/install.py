"""install.py WHEEL PREFIX: unpack a wheel; its commands run with SCRIPT_PYTHON, if that is set."""

import os
import sys

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

wheel, prefix = sys.argv[1:]
version = f"python{sys.version_info.major}.{sys.version_info.minor}"
site = f"{prefix}/lib/{version}/site-packages"
destination = SchemeDictionaryDestination(
    {
        "purelib": site,
        "platlib": site,
        "headers": f"{prefix}/include/{version}",
        "scripts": f"{prefix}/bin",
        "data": prefix,
    },
    interpreter=os.environ.get("SCRIPT_PYTHON", sys.executable),
    script_kind="posix",
    overwrite_existing=True,
)
with WheelFile.open(wheel) as source:
    install(source=source, destination=destination, additional_metadata={"INSTALLER": b"nix\n"})
