"""watched_demo.py OPTION...: run `holdfast demo` and fail if a process of it maps a program or library of the host's.

Run it with a release's own interpreter. It prints the demo's summary as it is, and what was mapped on stderr.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

STORE = "/nix/store/"
LOOK_INTERVAL_S = 0.05
DISPLAY_SHOWN_MAX = 4000


def mapped() -> dict[str, set[str]]:
    """Return the files that processes execute from, by the command's name, ours included."""
    found: dict[str, set[str]] = {}
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text().splitlines()
            name = maps.with_name("comm").read_text().strip()
        except OSError:  # It ended meanwhile.
            continue
        fields = [line.split(maxsplit=5) for line in lines]
        found.setdefault(name, set()).update(each[5] for each in fields if len(each) == 6 and is_code(each[1], each[5]))
    return found


def is_code(rights: str, path: str) -> bool:
    """Say whether a mapping is a program or a library of the disk's: journals and shared memory are not executed."""
    return "x" in rights and path.startswith("/")


def main() -> int:
    """Run the demo and look at every process while it lasts."""
    command: list[str | Path] = [Path(sys.prefix) / "bin/holdfast", "demo", "--json", *sys.argv[1:]]
    seen: dict[str, set[str]] = {}
    with tempfile.TemporaryFile() as display:
        with subprocess.Popen(command, stderr=display) as demo:
            while demo.poll() is None:
                for name, paths in mapped().items():
                    seen.setdefault(name, set()).update(paths)
                time.sleep(LOOK_INTERVAL_S)
        if demo.returncode != 0:
            display.seek(0)
            sys.stderr.write(display.read().decode()[-DISPLAY_SHOWN_MAX:])
    paths = set().union(*seen.values())
    outside = sorted(path for path in paths if not path.startswith(STORE))
    summary = f"{len(paths)} programs and libraries mapped by {', '.join(sorted(seen))}"
    sys.stderr.write(f"{summary}; {len(outside)} from outside the store\n")
    if outside:
        sys.stderr.write("".join(f"outside the store: {path}\n" for path in outside))
    return 1 if outside or not paths else demo.returncode


if __name__ == "__main__":
    sys.exit(main())
