"""The repository's own files, as rules look at them."""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finding:
    """A place that breaks a rule, and what to do about it."""

    line: int
    message: str


@dataclass(frozen=True)
class Rule:
    """One of STYLE's rules: which files it concerns, what it finds, and samples that prove it can fail."""

    name: str
    paths: str
    find: Callable[[str, str], Iterator[Finding]]
    bad: tuple[str, ...]
    good: tuple[str, ...]
    sample_path: str

    def concerns(self, path: str) -> bool:
        """Say whether the rule holds for a file."""
        return re.search(self.paths, path) is not None


@cache
def tracked_files() -> tuple[str, ...]:
    """Return the paths of the files that git tracks or would add, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for path in sorted(listed.split("\0")) if path and (ROOT / path).is_file())


@cache
def text_of(path: str) -> str | None:
    """Return a file's text, None for a binary one."""
    content = (ROOT / path).read_bytes()
    if b"\0" in content[:4096]:
        return None
    return content.decode(errors="replace")


def findings(rule: Rule) -> list[str]:
    """Return what a rule finds in the repository, a line each: path, line, message."""
    return [
        f"{path}:{finding.line}: {finding.message}"
        for path in tracked_files()
        if rule.concerns(path) and (text := text_of(path)) is not None
        for finding in rule.find(path, text)
    ]


def matches(pattern: str, text: str, message: str) -> Iterator[Finding]:
    """Find every line that a pattern matches."""
    compiled = re.compile(pattern)
    for number, line in enumerate(text.splitlines(), start=1):
        found = compiled.search(line)
        if found:
            yield Finding(number, message.format(found[0]))
