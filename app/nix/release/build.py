"""Build the release, on request build everything again and compare, sign it, put it into dist/."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
DIST = ROOT / "dist"
DEMO_S = 15
OWN_KEY = ROOT / ".nix/release.key"


def main() -> int:
    """Build; exit 0 only when all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--started-s", type=float, required=True)
    options = parser.parse_args()
    release = Path(nix("build", "--no-link", "--print-out-paths", f"{ROOT}#image"))
    holdfast = Path(nix("build", "--no-link", "--print-out-paths", f"{ROOT}#holdfast"))
    outputs = ("image", "demo-servers") if options.check else ("image",)
    derivations: dict[str, dict[str, Any]] = {
        name: {"path": path, "reproducible": None} for name, path in own_derivations(*outputs).items()
    }
    if options.check:
        say("running the flake's checks")
        nix("flake", "check", str(ROOT))
        for each in derivations.values():
            say(f"building again: {each['path']}")
            each["reproducible"] = is_reproducible(str(each["path"]))
    archive = deliver(release)
    sign(holdfast, archive)
    is_trading = not options.check or trades_in_an_empty_root()
    digest = json.loads((release / "statement.json").read_text())["digest"]
    # Not as JSON: its form differs between versions of Nix.
    sizes = nix("path-info", "--size", "--recursive", str(holdfast)).splitlines()
    told = {
        "digest": digest,
        "seconds": round(time.time() - options.started_s, 1),
        "closure_bytes": sum(int(line.split()[1]) for line in sizes),
        "archive_bytes": archive.stat().st_size,
        "derivations": derivations,
        "ok": is_trading and all(each["reproducible"] is not False for each in derivations.values()),
    }
    sys.stdout.write(json.dumps(told) + "\n" if options.json else text(told))
    return 0 if told["ok"] else 1


def own_derivations(*outputs: str) -> dict[str, str]:
    """Return the derivations that we build for some of the flake's packages, by name: all but the downloads."""
    shown = json.loads(nix("derivation", "show", "--recursive", *(f"{ROOT}#{output}" for output in outputs)))
    derivations: dict[str, str] = {}
    for path, each in sorted(shown.get("derivations", shown).items()):
        if "outputHash" in each["env"]:
            continue
        name = each["env"]["name"]
        if name == "holdfast-layer":
            name = f"holdfast-layer-{Path(each['env']['path']).name.partition('-')[2]}"
        derivations[name] = path if path.startswith("/") else f"/nix/store/{path}"
    return derivations


def is_reproducible(derivation: str) -> bool:
    """Build a derivation a second time; Nix compares the bytes."""
    command = ["nix-store", "--realise", "--check", derivation]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        say(done.stderr.strip()[-2000:])
    return done.returncode == 0


def trades_in_an_empty_root() -> bool:
    """Run the demo by what the archive installs; a root directory of its own takes root."""
    if os.geteuid() != 0:
        say("not run by root: the demo ran in Nix's sandbox only, not in an empty root directory as well")
        return True
    say(f"running the demo for {DEMO_S} s in an empty root directory")
    command: list[str | Path] = [ROOT / "app/nix/checks/empty_root.sh", "--duration", str(DEMO_S)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        say(f"the demo failed: {done.stdout.strip()[-2000:]}")
    return done.returncode == 0


def deliver(release: Path) -> Path:
    """Copy what is published into dist/ and return the archive there."""
    DIST.mkdir(exist_ok=True)
    for old in DIST.glob("holdfast-*.oci.tar*"):
        old.unlink()
    for file in release.iterdir():
        (DIST / file.name).unlink(missing_ok=True)
        shutil.copyfile(file, DIST / file.name)
    (DIST / "holdfast-release").chmod(0o755)
    return next(DIST.glob("holdfast-*.oci.tar"))


def sign(holdfast: Path, archive: Path) -> None:
    """Sign the archive's statement with the release's own Python, which has the library for it."""
    key = Path(os.environ.get("RELEASE_KEY") or OWN_KEY)
    if key == OWN_KEY:
        say(f"signing with this checkout's {OWN_KEY.relative_to(ROOT)}; set RELEASE_KEY to a key that hosts trust")
    script = Path(__file__).with_name("sign.py")
    variables = os.environ | {"PYTHONPATH": str(ROOT / "app"), "PYTHONDONTWRITEBYTECODE": "1"}
    may_make = ["--make"] if key == OWN_KEY else []
    command: list[str | Path] = [holdfast / "bin/python", script, "--key", key, "--archive", archive, *may_make]
    subprocess.run(command, check=True, env=variables)


def nix(*words: str) -> str:
    """Run Nix and return what it prints; its own messages pass through."""
    return subprocess.run(["nix", *words], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def say(message: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"release: {message}\n")


def text(told: dict[str, Any]) -> str:
    """Return the outcome for a terminal."""
    words = {True: "identical when built again", False: "DIFFERS when built again", None: "built"}
    lines = [f"{name:40} {words[each['reproducible']]}" for name, each in told["derivations"].items()]
    lines += [f"{key:40} {told[key]}" for key in ("digest", "seconds", "closure_bytes", "archive_bytes", "ok")]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
