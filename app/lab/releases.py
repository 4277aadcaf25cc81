"""Releases to upgrade to: this tree's, changed a little, built and signed like every other."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.place import LABS, LabError, locked, run, say

ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = "app/holdfast/store/migrations"
# What no release holds: a change there is none of the release.
NOT_RELEASED = ("ansible/", "app/lab/", "roles/", "tests/", "ARCHITECTURE.md", "CHANGELOG.md", "STYLE.md")


def newer(tree: Path) -> None:
    """Change a byte of Python, and add what a release may add to the database: a column that the older one ignores."""
    with (tree / "app/holdfast/cli/status.py").open("a") as file:
        file.write("# A newer release.\n")
    last = max(int(file.name[:4]) for file in (tree / MIGRATIONS).glob("*.sql"))
    migration = tree / MIGRATIONS / f"{last + 1:04}_rehearsal.sql"
    migration.write_text("-- A newer release's column.\nALTER TABLE trades ADD COLUMN rehearsed TEXT;\n")


def failing(tree: Path) -> None:
    """Make a release whose risk-manager ends as soon as it is started."""
    newer(tree)
    file = tree / "app/holdfast/services/risk_manager.py"
    broken = 'async def run(frame: Frame) -> None:\n    raise RuntimeError("this release is broken on purpose")\n'
    file.write_text(f"{file.read_text()}\n\n{broken}")


CHANGES: dict[str, Callable[[Path], None]] = {"newer": newer, "failing": failing}


def build(lab: str, name: str) -> Path:
    """Return the archive of a changed release; built again only when this tree is another than then."""
    folder = LABS / lab / "releases" / name
    with locked(folder):
        sources = _sources()
        stamp = hashlib.sha256(b"".join(path.encode() + (ROOT / path).read_bytes() for path in sources)).hexdigest()
        if not (folder / "stamp").exists() or (folder / "stamp").read_text() != stamp:
            shutil.rmtree(folder, ignore_errors=True)
            _copy(sources, folder / "tree")
            CHANGES[name](folder / "tree")
            run("git", "-C", folder / "tree", "init", "--quiet")
            run("git", "-C", folder / "tree", "add", "--all")
            say(f"building the {name} release")
            _build(folder)
            (folder / "stamp").write_text(stamp)
    return next((folder / "tree/dist").glob("*.oci.tar"))


def _sources() -> list[str]:
    listed = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    released = (path for path in listed if path and not path.startswith(NOT_RELEASED))
    return sorted(path for path in released if (ROOT / path).is_file())


def _copy(sources: list[str], tree: Path) -> None:
    for path in sources:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, tree / path, follow_symlinks=False)
    # Nix, what the locks pin and the key: those of the checkout.
    (tree / ".nix").symlink_to(ROOT / ".nix")


def _build(folder: Path) -> None:
    variables = os.environ | {"RELEASE_KEY": str(ROOT / ".nix/release.key")}
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            ["bash", folder / "tree/app/nix/release.sh"], env=variables, stdout=log, stderr=log, check=False
        )
    if done.returncode != 0:
        raise LabError(f"the release was not built, see {folder}/log:\n{(folder / 'log').read_text()[-2000:]}")
