"""Runs playbooks without a host: what each host would say of itself is known, as if it had been asked before."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INVENTORIES = ROOT / "ansible/inventories"
EXAMPLE = INVENTORIES / "vault.example.yml"
PROGRAMS = ROOT / ".venv/lab/bin"
# Of what a host of each kind says, what the playbooks ask for before they change anything.
FACTS_OF_DEBIAN = {
    "ansible_distribution": "Debian",
    "ansible_distribution_version": "12.9",
    "ansible_distribution_major_version": "12",
    "ansible_distribution_release": "bookworm",
    "ansible_os_family": "Debian",
    "ansible_architecture": "x86_64",
    "ansible_processor_nproc": 4,
    "ansible_memtotal_mb": 8000,
}


@dataclass(frozen=True)
class Controller:
    """A controller with a folder of its own, in which a release seems to lie."""

    folder: Path

    @property
    def release(self) -> list[str]:
        """Return the options that name the release."""
        return [f"-erelease_archive={self.folder}/a.oci.tar", f"-erelease_public_key={self.folder}/release.pub"]

    @property
    def knowledge(self) -> Path:
        """Return a playbook to go first: a host has the facts of FACTS_OF_DEBIAN, and those of its variable `said`."""
        facts = {
            name: f"{{{{ (said | default({{}})).{name} | default({value!r}) }}}}"
            for name, value in FACTS_OF_DEBIAN.items()
        }
        task = {"ansible.builtin.set_fact": facts | {"cacheable": True}}
        path = self.folder / "knowledge.json"
        path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
        return path

    def run(self, program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's programs in ansible/ and return what it said."""
        variables = {
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            # No play asks a host by itself.
            "ANSIBLE_GATHERING": "explicit",
            "ANSIBLE_FORKS": "2",
        }
        command = [str(PROGRAMS / program), *map(str, words)]
        return subprocess.run(
            command, cwd=ROOT / "ansible", env=os.environ | variables, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="session")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Controller:
    """Return a controller."""
    folder = tmp_path_factory.mktemp("controller")
    for name in ("a.oci.tar", "a.oci.tar.sig", "holdfast-release", "release.pub"):
        (folder / name).write_text("not read\n")
    return Controller(folder)
