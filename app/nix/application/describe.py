"""Write what a release is made of: `sbom.cdx.json` (CycloneDX 1.6) and `provenance.json` (sources, locks, inputs)."""

import argparse
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

from holdfast_release.layer import tree_digest


def main() -> None:
    """Write both documents; the same bytes from the same locks and materials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True)
    parser.add_argument("--locks", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--material", action="append", default=[], help="NAME=STORE_PATH")
    options = parser.parse_args()
    locks: Path = options.locks
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "holdfast", "version": options.version}},
        "components": [*debian_packages(locks), *wheels(locks), *crates(locks)],
    }
    provenance = {
        "name": "holdfast",
        "version": options.version,
        "platform": "x86_64-linux",
        # By what is in them, as a layer's digest is: a store path's name would make the release refer to it.
        "materials": {
            name: tree_digest(Path(path)) for name, path in sorted(each.split("=", 1) for each in options.material)
        },
        "locks": {
            str(path.relative_to(locks)): f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
            for path in sorted(locks.rglob("*"))
            if path.is_file()
        },
    }
    for name, document in (("sbom.cdx.json", bill), ("provenance.json", provenance)):
        (options.output / name).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def component(kind: str, name: str, version: str, sha256: str, *, is_shipped: bool = True) -> dict[str, Any]:
    """Return one entry of the bill of materials."""
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:{kind}/{name}@{version}",
        "scope": "required" if is_shipped else "excluded",
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }


def debian_packages(locks: Path) -> list[dict[str, Any]]:
    """Return Debian's packages; what only builds is marked as not shipped."""
    trees = json.loads((locks / "app/nix/debian/lock.json").read_text())
    return [
        component("deb/debian", name, pin["version"], pin["sha256"], is_shipped=tree == "runtime")
        for tree in ("runtime", "tools", "build")
        for name, pin in trees[tree].items()
    ]


def wheels(locks: Path) -> list[dict[str, Any]]:
    """Return the Python packages that are shipped."""
    sets = json.loads((locks / "app/nix/python/wheels.json").read_text())
    return [component("pypi", name, pin["version"], pin["sha256"]) for name, pin in sets["runtime"].items()]


def crates(locks: Path) -> list[dict[str, Any]]:
    """Return the crates of the native module and of its tests."""
    lock = tomllib.loads((locks / "app/native/Cargo.lock").read_text())
    return [
        component("cargo", package["name"], package["version"], package["checksum"])
        for package in lock["package"]
        if "checksum" in package
    ]


if __name__ == "__main__":
    main()
