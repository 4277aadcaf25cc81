"""apt with a state of its own: it looks at another suite than the host's and never touches the host's packages."""

import os
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
STATE = ROOT / ".nix/apt"
# Suites that get every update themselves.
ROLLING = {"sid", "unstable"}
LISTS_AGE_S_MAX = 600
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def apt_environment(suite: str) -> dict[str, str]:
    """Return the environment in which apt sees a suite with its updates and security, from the host's own mirrors."""
    state = STATE / suite
    for name in ("lists/partial", "cache/archives/partial", "etc"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    main, security = _mirrors()
    sources = [(main, suite)]
    if suite not in ROLLING:
        sources = [(main, f"{suite} {suite}-updates"), (security, f"{suite}-security")]
    (state / "etc/base.sources").write_text(
        "\n".join(
            f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"
            for uri, suites in sources
        )
    )
    configuration = state / "apt.conf"
    configuration.write_text(
        f'Dir::State::Lists "{state}/lists"; Dir::Cache "{state}/cache"; Dir::State::status "{state}/status";\n'
        f'Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "{state}/etc";\n'
        'APT::Sandbox::User "root"; APT::Install-Recommends "0";\n'
    )
    environment = os.environ | {"APT_CONFIG": str(configuration), "LC_ALL": "C"}
    _update(state / "updated", environment)
    return environment


def _update(stamp: Path, environment: dict[str, str]) -> None:
    """Fetch the suite's lists, unless the step before did: a release looks at them twice in a minute."""
    if not stamp.exists() or time.time() - stamp.stat().st_mtime > LISTS_AGE_S_MAX:
        run(["apt-get", "-qq", "update"], environment)
        stamp.touch()


def run(command: list[str], environment: dict[str, str], directory: Path | None = None) -> str:
    """Run a command and return what it printed.

    Raises: SystemExit with its own words when it fails.
    """
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _mirrors() -> tuple[str, str]:
    """Return the host's mirrors of its own suite and of that suite's security updates."""
    codename = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    assert codename is not None, "this is not a Debian system: releases are built on Debian 12 or 13"
    listed = run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"], dict(os.environ)
    )
    uris = dict(reversed([line.split(" ", 1) for line in listed.splitlines()]))
    try:
        return uris[codename[1]], uris[f"{codename[1]}-security"]
    except KeyError as error:
        raise SystemExit(f"apt's sources lack {error}: add the suite's main and security archives") from None
