"""The installer on a bare directory, with real archives."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fix_release import BareHost
from holdfast_release.archive import DatabaseRange
from holdfast_release.layer import STORE
from holdfast_release.pack import pack_tree
from holdfast_release.signature import signature_path
from release_builder import BASE_FILES, ReleaseBuilder

APP = Path(__file__).resolve().parents[2] / "app"


def flip_byte(path: Path, offset: int) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    path.chmod(mode)


def copy(archive: Path, to: Path) -> Path:
    for source in (archive, signature_path(archive)):
        (to / source.name).write_bytes(source.read_bytes())
    return to / archive.name


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_install_makes_the_release_current_and_a_second_time_changes_nothing(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    archive = release_builder.build("1.0.0")
    first = bare_host.run("install", archive)
    assert (first["changed"], first["generation"], first["previous"]) == (True, 1, None)
    assert bare_host.version() == "1.0.0"
    before = everything(bare_host.root)
    second = bare_host.run("install", archive)
    assert (second["changed"], second["added"], second["digest"]) == (False, [], first["digest"])
    assert everything(bare_host.root) == before


def test_installed_paths_are_those_that_were_built(bare_host: BareHost, release_builder: ReleaseBuilder) -> None:
    for path in bare_host.run("install", release_builder.build("1.0.0"))["added"]:
        built, installed = release_builder.directory / path[1:], bare_host.root / path[1:]
        for entry in (built, *built.rglob("*")):
            other = installed / entry.relative_to(built)
            assert other.is_symlink() == entry.is_symlink()
            if entry.is_symlink():
                assert other.readlink() == entry.readlink()
            else:
                assert other.stat().st_mode == entry.stat().st_mode
                assert entry.is_dir() or other.read_bytes() == entry.read_bytes()
        assert len(everything(built)) == len(everything(installed))


def test_upgrade_adds_only_what_is_missing(bare_host: BareHost, release_builder: ReleaseBuilder) -> None:
    bare_host.run("install", release_builder.build("1.0.0"))
    upgrade = bare_host.run("install", release_builder.build("1.1.0"))
    assert [path.partition("-")[2] for path in upgrade["added"]] == ["holdfast-1.1.0"]
    assert (upgrade["previous"], upgrade["generation"], bare_host.version()) == (1, 2, "1.1.0")


def test_rollback_returns_to_the_generation_before_and_install_goes_forward_again(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    old, new = release_builder.build("1.0.0"), release_builder.build("1.1.0")
    bare_host.run("install", old)
    bare_host.run("install", new)
    back = bare_host.run("rollback")
    assert (back["changed"], back["generation"], bare_host.version()) == (True, 1, "1.0.0")
    assert bare_host.refusal("rollback")[0] == "no_generation"
    again = bare_host.run("install", new)
    assert (again["changed"], again["generation"], bare_host.version()) == (True, 2, "1.1.0")
    assert bare_host.run("switch", "2")["changed"] is False
    assert bare_host.refusal("switch", "9")[0] == "no_generation"


def test_entrance_leads_to_the_current_release_by_the_same_rename(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    old, new = release_builder.build("1.0.0"), release_builder.build("1.1.0")
    bare_host.run("install", old)
    entrance = bare_host.root / "opt/holdfast/current"
    assert str(entrance.readlink()) == "/nix/var/holdfast/current/root"
    made = entrance.lstat()
    bare_host.run("install", new)
    bare_host.run("rollback")
    # It was not touched again: what the switch renames is behind it.
    assert (entrance.lstat().st_ino, entrance.lstat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_entrance_that_leads_elsewhere_is_mended_and_a_directory_in_its_place_is_refused(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    archive = release_builder.build("1.0.0")
    bare_host.run("install", archive)
    entrance = bare_host.root / "opt/holdfast/current"
    entrance.unlink()
    entrance.symlink_to("/somewhere/else")
    assert bare_host.run("install", archive)["changed"] is True
    assert str(entrance.readlink()) == "/nix/var/holdfast/current/root"
    entrance.unlink()
    entrance.mkdir()
    reason, message = bare_host.refusal("install", release_builder.build("1.1.0"))
    assert (reason, str(entrance) in message) == ("occupied", True)
    assert bare_host.version() == "1.0.0"


def test_older_release_installed_on_purpose_can_be_rolled_back_too(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    old, new = release_builder.build("1.0.0"), release_builder.build("1.1.0")
    for archive in (old, new, old):
        bare_host.run("install", archive)
    told = bare_host.run("list")
    assert [each["version"] for each in told["generations"]] == ["1.0.0", "1.1.0", "1.0.0"]
    bare_host.run("rollback")
    assert bare_host.version() == "1.1.0"


def test_rollback_passes_over_a_release_that_was_taken_back(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    for minor, number in ((0, 1), (1, 2)):
        assert bare_host.run("install", release_builder.build(f"1.{minor}.0"))["generation"] == number
    bare_host.run("switch", "1")
    bare_host.run("install", release_builder.build("1.2.0"))
    assert bare_host.run("gc", "--keep", "2")["removed_generations"] == []
    assert (bare_host.run("rollback")["generation"], bare_host.version()) == (1, "1.0.0")


def test_staged_release_is_whole_and_not_current_until_it_is_installed(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    old, new = release_builder.build("1.0.0"), release_builder.build("1.1.0")
    bare_host.run("install", old)
    staged = bare_host.run("install", "--stage", new)
    assert (staged["changed"], staged["current"], staged["generation"]) == (True, 1, 2)
    assert (bare_host.version(), bare_host.run("verify", "--all")["generations"]) == ("1.0.0", [1, 2])
    assert bare_host.run("install", "--stage", new)["changed"] is False
    switched = bare_host.run("install", new)
    assert (switched["added"], switched["generation"], switched["previous"]) == ([], 2, 1)
    assert bare_host.version() == "1.1.0"


def test_garbage_collection_keeps_the_last_three_the_current_one_and_what_ran_before_it(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    for minor in range(6):
        bare_host.run("install", release_builder.build(f"1.{minor}.0"))
    foreign = bare_host.store / f"{'0' * 32}-of-somebody-else"
    foreign.mkdir()
    bare_host.run("switch", "2")
    collected = bare_host.run("gc")
    assert collected["removed_generations"] == [3]
    assert sorted(path.partition("-")[2] for path in collected["removed_paths"]) == ["holdfast-1.2.0"]
    assert bare_host.run("verify", "--all")["generations"] == [1, 2, 4, 5, 6]
    assert foreign.is_dir()
    assert bare_host.run("gc")["changed"] is False
    bare_host.run("switch", "6")
    assert bare_host.run("gc", "--keep", "1")["removed_generations"] == [1, 2, 4, 5]
    assert bare_host.run("verify", "--all")["generations"] == [6]


def test_unsigned_archive_is_refused(bare_host: BareHost, release_builder: ReleaseBuilder, tmp_path: Path) -> None:
    archive = copy(release_builder.build("1.0.0"), tmp_path)
    signature_path(archive).unlink()
    reason, message = bare_host.refusal("install", archive)
    assert reason == "unsigned"
    assert str(signature_path(archive)) in message
    assert everything(bare_host.root) == set()


def test_archive_of_another_key_is_refused(bare_host: BareHost, release_builder: ReleaseBuilder) -> None:
    other = release_builder.public_key("other.pub", Ed25519PrivateKey.generate())
    assert bare_host.refusal("install", release_builder.build("1.0.0"), "--key", other)[0] == "wrong_key"
    assert everything(bare_host.root) == set()


def test_either_key_of_a_file_is_accepted(bare_host: BareHost, release_builder: ReleaseBuilder, tmp_path: Path) -> None:
    other = release_builder.public_key("next.pub", Ed25519PrivateKey.generate())
    both = tmp_path / "both.pub"
    both.write_text(other.read_text() + release_builder.public_key().read_text())
    assert bare_host.run("install", release_builder.build("1.0.0"), "--key", both)["changed"] is True


@pytest.mark.parametrize("content", ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_key_file_without_an_ed25519_key_is_refused(
    bare_host: BareHost, release_builder: ReleaseBuilder, tmp_path: Path, content: str
) -> None:
    key = tmp_path / "key.pub"
    key.write_text(content)
    assert bare_host.refusal("install", release_builder.build("1.0.0"), "--key", key)[0] == "bad_key"


def test_changed_statement_is_refused(bare_host: BareHost, release_builder: ReleaseBuilder, tmp_path: Path) -> None:
    archive = copy(release_builder.build("1.0.0"), tmp_path)
    document = json.loads(signature_path(archive).read_text())
    document["statement"] = document["statement"].replace("1.0.0", "1.0.1")
    signature_path(archive).write_text(json.dumps(document))
    assert bare_host.refusal("install", archive)[0] == "wrong_key"


def test_truncated_archive_is_refused(bare_host: BareHost, release_builder: ReleaseBuilder, tmp_path: Path) -> None:
    archive = copy(release_builder.build("1.0.0"), tmp_path)
    os.truncate(archive, archive.stat().st_size - 1)
    assert bare_host.refusal("install", archive)[0] == "truncated"
    assert bare_host.version() is None


def test_every_flipped_byte_of_an_archive_is_found_and_its_layer_named(
    bare_host: BareHost, release_builder: ReleaseBuilder, tmp_path: Path
) -> None:
    archive = copy(release_builder.build("1.0.0"), tmp_path)
    whole = archive.read_bytes()
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isreg()]
    for member in members:
        flip_byte(archive, member.offset_data + member.size // 2)
        reason, message = bare_host.refusal("install", archive)
        assert reason == "tampered"
        assert (
            member.name in message or "layer /nix/store/" in message or "the manifest" in message or "bytes" in message
        )
        archive.write_bytes(whole)
    biggest = max(members, key=lambda member: member.size)
    flip_byte(archive, biggest.offset_data + biggest.size // 2)
    assert "-base" in bare_host.refusal("install", archive)[1]
    archive.write_bytes(whole)
    flip_byte(archive, len(whole) - 1)
    assert "bytes between its parts" in bare_host.refusal("install", archive)[1]
    assert bare_host.version() is None


def test_one_flipped_byte_of_an_installed_file_is_found_named_and_repaired(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    archive = release_builder.build("1.0.0")
    base = bare_host.root / bare_host.run("install", archive)["added"][0][1:]
    assert bare_host.run("verify")["paths"] == 2
    flip_byte(base / "lib/module_007.py", 3)
    reason, message = bare_host.refusal("verify")
    assert reason == "damaged"
    assert f"/{STORE}/{base.name} was changed: lib/module_007.py:" in message
    assert bare_host.run("install", archive, "--repair")["added"] == [f"/{STORE}/{base.name}"]
    assert bare_host.run("verify")["changed"] is False
    assert [entry.name for entry in bare_host.store.iterdir() if entry.name.startswith(".")] == []


def test_added_removed_and_reopened_files_are_found(bare_host: BareHost, release_builder: ReleaseBuilder) -> None:
    archive = release_builder.build("1.0.0")
    base = bare_host.root / bare_host.run("install", archive)["added"][0][1:]
    lib = base / "lib"
    lib.chmod(0o700)
    (lib / "module_001.py").unlink()
    (lib / "new.py").write_text("")
    lib.chmod(0o555)
    message = bare_host.refusal("verify")[1]
    assert "lib/module_001.py, lib/new.py" in message
    bare_host.run("install", archive, "--repair")
    (lib / "module_002.py").chmod(0o644)
    assert "its links, modes or directories" in bare_host.refusal("verify")[1]


def test_generation_that_says_another_release_than_was_signed_is_found(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    bare_host.run("install", release_builder.build("1.0.0"))
    manifest = bare_host.root / "nix/var/holdfast/generations/1/manifest.json"
    manifest.write_text(manifest.read_text().replace("1.0.0", "6.6.6"))
    reason, message = bare_host.refusal("verify")
    assert reason == "tampered"
    assert "generations/1" in message


@pytest.mark.parametrize(("schema", "is_refused"), [(2, True), (3, False), (5, False), (6, True)])
def test_release_whose_database_range_lacks_the_schema_is_refused(
    bare_host: BareHost, release_builder: ReleaseBuilder, schema: int, is_refused: bool
) -> None:
    archive = release_builder.build("1.0.0", database=DatabaseRange(first=3, last=5, works_since=3))
    if is_refused:
        assert bare_host.refusal("install", archive, schema=schema)[0] == "database"
        assert bare_host.version() is None
    else:
        assert bare_host.run("install", archive, schema=schema)["changed"] is True


@pytest.mark.parametrize(("works_since", "is_refused"), [(4, False), (5, True)])
def test_rollback_past_a_migration_works_while_the_newer_release_says_that_it_only_added(
    bare_host: BareHost, release_builder: ReleaseBuilder, works_since: int, is_refused: bool
) -> None:
    bare_host.run("install", release_builder.build("1.0.0"))
    newer = release_builder.build("2.0.0", database=DatabaseRange(first=0, last=7, works_since=works_since))
    bare_host.run("install", newer)
    if is_refused:
        assert bare_host.refusal("rollback", schema=7)[0] == "database"
        assert bare_host.version() == "2.0.0"
    else:
        assert bare_host.run("rollback", schema=7)["changed"] is True


def test_release_larger_than_the_free_space_is_refused_before_a_byte_is_written(
    bare_host: BareHost, release_builder: ReleaseBuilder
) -> None:
    archive = release_builder.build("1.0.0")
    reason, message = bare_host.refusal("install", archive, "--reserve-mib", str(1 << 30))
    assert reason == "disk_full"
    assert "MiB free" in message
    assert list(bare_host.store.iterdir()) == []


def on_a_small_disk(tmp_path: Path, size: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with a small file system of its own as its working directory."""
    disk = tmp_path / "disk"
    disk.mkdir(exist_ok=True)
    mounted = f"mount -t tmpfs -o {size} tmpfs {disk} && cd {disk} && {script}"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mounted]
    variables = os.environ | {"PYTHONPATH": str(APP), "PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


@pytest.mark.parametrize("size", ["size=256k", "size=8m,nr_inodes=60"], ids=["bytes", "inodes"])
def test_full_disk_leaves_the_old_generation_and_no_leftovers(
    release_builder: ReleaseBuilder, tmp_path: Path, size: str
) -> None:
    if shutil.which("unshare") is None or on_a_small_disk(tmp_path, "size=64k", "true").returncode != 0:
        pytest.skip("this system lets nobody mount a file system of its own")
    small = release_builder.build("1.0.0", base={"lib/one.py": "1"})
    large = release_builder.build("2.0.0")
    install = f"$PYTHON -m holdfast_release --root . --json install --schema 4 --key {release_builder.public_key()}"
    done = on_a_small_disk(
        tmp_path,
        size,
        f"{install} --reserve-mib 0 {small} && ! {install} --reserve-mib 0 {large} && ls -A nix/store && "
        f"cat nix/store/$(basename $(readlink nix/var/holdfast/current/root))/share/version",
    )
    assert done.returncode == 0, done.stderr
    _, refused, *names, version = done.stdout.splitlines()
    assert json.loads(refused)["refused"] == "disk_full"
    assert sorted(name.partition("-")[2] for name in names) == ["base", "holdfast-1.0.0"]
    assert version == "1.0.0"
    assert len(BASE_FILES) > 60


def test_runs_with_the_standard_library_alone(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(APP)!r}); import holdfast_release.cli",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path).stderr == ""


def test_same_trees_make_the_same_archive(release_builder: ReleaseBuilder) -> None:
    first = release_builder.build("1.0.0").read_bytes()
    for tree in (release_builder.directory / STORE).glob("*-holdfast-1.0.0"):
        os.utime(tree / "share/version", (1, 2))
    assert release_builder.build("1.0.0").read_bytes() == first


def test_tree_that_could_be_written_to_is_not_packed(release_builder: ReleaseBuilder) -> None:
    tree = release_builder.tree("open", {"share/file": "text"})
    (tree / "share/file").chmod(0o644)
    with pytest.raises(AssertionError, match="a store path is read-only"):
        pack_tree(tree)


def test_container_engine_finds_every_layer_by_its_digest(release_builder: ReleaseBuilder) -> None:
    with tarfile.open(release_builder.build("1.0.0")) as tar:
        blobs = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
        index = json.loads(blobs["index.json"].read())  # type: ignore[union-attr]
        manifest_name = "blobs/" + index["manifests"][0]["digest"].replace(":", "/")
        manifest = json.loads(blobs[manifest_name].read())  # type: ignore[union-attr]
    named = [manifest["config"], *manifest["layers"]]
    assert {f"blobs/{each['digest'].replace(':', '/')}" for each in named} <= blobs.keys()
    assert len(manifest["layers"]) == 3
