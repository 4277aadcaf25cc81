"""An upgrade that is ended by SIGKILL at any moment leaves the old or the new generation, never a mixture."""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fix_release import BareHost
from holdfast_release.durable import remove_tree
from release_builder import BASE_FILES, ReleaseBuilder

APP = Path(__file__).resolve().parents[2] / "app"
KILLS = 50
SEED = 20_261_126

# Counts the changes of files that the interpreter reports (opened to write, renamed, linked, removed) and ends itself
# before one of them, or after the last.
DRIVER = """
import os, signal, sys
from holdfast_release import archive, cli, durable, generations, host, layer, signature, store
last, seen = int(sys.argv[1]), 0
CHANGES = {"os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod"}
def count(event, facts):
    global seen
    if event in CHANGES or (event == "open" and facts[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
code = cli.main(sys.argv[2:])
if last > seen:
    os.kill(os.getpid(), signal.SIGKILL)
sys.stderr.write(str(seen))
sys.exit(code)
"""


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A directory in memory, if this system has that: what a kill leaves is the same, and waiting for a disk is not."""
    memory = Path("/dev/shm")  # noqa: S108
    path = Path(tempfile.mkdtemp(prefix="holdfast-release-", dir=memory if os.access(memory, os.W_OK) else None))
    yield path
    remove_tree(path)


def upgrade(host: BareHost, archive: Path, *, last_change: int) -> subprocess.CompletedProcess[str]:
    """Install, ending the process before its change of that number; 0 lets it finish and tell how many there were."""
    options = ["--schema", "4", "--key", str(host.key), "--reserve-mib", "0"]
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(APP)!r})\n{DRIVER}"]
    words = ["--root", str(host.root), "--json", "install", str(archive), *options]
    return subprocess.run([*command, str(last_change), *words], capture_output=True, text=True, check=False)


def test_sigkill_at_fifty_random_moments_leaves_a_whole_generation(
    bare_host: BareHost, release_builder: ReleaseBuilder, memory_path: Path
) -> None:
    bare_host = dataclasses.replace(bare_host, root=memory_path / "host")
    old = release_builder.build("1.0.0", base=dict(list(BASE_FILES.items())[:5]))
    new = release_builder.build("2.0.0", base=dict(list(BASE_FILES.items())[:40]))
    bare_host.run("install", old)
    pristine = bare_host.root.rename(memory_path / "pristine")
    outcomes = {"1.0.0": 0, "2.0.0": 0}

    def start_again() -> None:
        remove_tree(bare_host.root)
        shutil.copytree(pristine, bare_host.root, symlinks=True)

    start_again()
    whole = upgrade(bare_host, new, last_change=0)
    assert whole.returncode == 0, whole.stderr
    changes = int(whole.stderr)
    # The last steps, which place, name and switch, are few beside the files unpacked: each of them is a moment, and
    # the others are drawn.
    dice = random.Random(SEED)
    drawn = dice.sample(range(1, changes - KILLS // 2 + 1), KILLS // 2)
    moments = [*drawn, *range(changes - KILLS // 2 + 2, changes + 2)]
    for moment in moments:
        start_again()
        killed = upgrade(bare_host, new, last_change=moment)
        assert killed.returncode == -signal.SIGKILL, (SEED, moment, killed.stderr)
        version = bare_host.version()
        assert version in outcomes, (SEED, moment)
        outcomes[version] += 1
        assert bare_host.run("verify", "--all")["changed"] is False
        assert bare_host.version() == version
        finished = bare_host.run("install", new)
        assert (finished["generation"], bare_host.version()) == (2, "2.0.0"), (SEED, moment)
        assert bare_host.run("verify", "--all")["generations"] == [1, 2]
        left = [path for path in bare_host.root.rglob("*") if path.name.startswith((".holdfast-", ".new-", ".old-"))]
        assert left == [], (SEED, moment)
    assert min(outcomes.values()) > 0, outcomes


def test_two_installers_at_once_make_one_generation(bare_host: BareHost, release_builder: ReleaseBuilder) -> None:
    words = ["--root", str(bare_host.root), "--json", "install", str(release_builder.build("1.0.0"))]
    options = ["--schema", "0", "--key", str(bare_host.key), "--reserve-mib", "0"]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "holdfast_release", *words, *options],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(APP)},
        )
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate()[0]) for process in running]
    assert sorted(answer["changed"] for answer in answers) == [False, True]
    assert [each["version"] for each in bare_host.run("list")["generations"]] == ["1.0.0"]
