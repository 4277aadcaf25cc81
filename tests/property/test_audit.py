"""Whatever is done to one place of the audit trail is found, and where."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import audit

RECORDS = 7
ACTIONS = ("trip", "reset", "token_create")


def write(state_dir: Path, count: int = RECORDS) -> list[bytes]:
    for number in range(count):
        audit.append(
            state_dir,
            action=ACTIONS[number % 3],
            operator=f"alice{number}",
            reason="drill é\n",
            ts_ns=10**18 + number,
            subject=str(number),
        )
    return (state_dir / "audit" / "trail.jsonl").read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state_dir = tmp_path_factory.mktemp("audit")
    write(state_dir)
    return state_dir


def append_as(state_dir: Path, *, uid: int, gid: int, umask: int) -> int:
    """Append in a process of its own, as another user where this one is root; return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            os.umask(umask)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(gid)
                os.setuid(uid)
            audit.append(state_dir, action="trip", operator="ann", reason="a rehearsal", ts_ns=1)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def damaged(written: Path, whole: bytes) -> audit.Verification:
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "state"
        shutil.copytree(written, copy)
        (copy / "audit" / "trail.jsonl").write_bytes(whole)
        return audit.verify(copy)


def lines(written: Path) -> list[bytes]:
    return (written / "audit" / "trail.jsonl").read_bytes().splitlines(keepends=True)


def test_a_whole_trail_is_whole(written: Path) -> None:
    assert audit.verify(written) == audit.Verification(records=RECORDS)
    assert audit.verify(written / "none") == audit.Verification(records=0)


def test_who_shares_the_state_directory_goes_on_with_a_trail_that_a_command_of_root_began() -> None:
    services, gateway, group = (
        (65501, 65502, 65503) if os.geteuid() == 0 else (os.geteuid(), os.geteuid(), os.getegid())
    )
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o711)
        state_dir = Path(parent) / "state"
        state_dir.mkdir()
        os.chown(state_dir, services, group)
        state_dir.chmod(0o2770)
        assert append_as(state_dir, uid=os.geteuid(), gid=os.getegid(), umask=0o022) == 0
        for user in (gateway, services, gateway):
            assert append_as(state_dir, uid=user, gid=group, umask=0o007) == 0
        assert audit.verify(state_dir) == audit.Verification(records=4)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (state_dir / "audit").iterdir()}
        assert {mode & 0o060 for mode in modes.values()} == {0o060}, modes


@given(place=st.data())
def test_a_flipped_bit_is_found_in_its_line(written: Path, place: st.DataObject) -> None:
    whole = bytearray(b"".join(lines(written)))
    offset = place.draw(st.integers(0, len(whole) - 1))
    line = bytes(whole[:offset]).count(b"\n") + 1
    whole[offset] ^= 1 << place.draw(st.integers(0, 7))
    found = damaged(written, bytes(whole)).damage
    assert found is not None
    assert found.line == line
    assert found.offset <= offset


@given(place=st.data())
def test_a_cut_is_found_where_it_is(written: Path, place: st.DataObject) -> None:
    whole = b"".join(lines(written))
    size = place.draw(st.integers(0, len(whole) - 1))
    found = damaged(written, whole[:size]).damage
    assert found is not None
    assert found.line == whole[:size].count(b"\n") + 1


@given(first=st.integers(0, RECORDS - 1), second=st.integers(0, RECORDS - 1))
def test_a_deleted_a_repeated_and_two_swapped_records_are_found(written: Path, first: int, second: int) -> None:
    kept = lines(written)
    without = damaged(written, b"".join(kept[:first] + kept[first + 1 :])).damage
    assert without is not None
    assert without.line == first + 1
    doubled = damaged(written, b"".join([*kept[: first + 1], kept[first], *kept[first + 1 :]])).damage
    assert doubled is not None
    assert doubled.line == first + 2
    if first != second:
        swapped = list(kept)
        swapped[first], swapped[second] = kept[second], kept[first]
        found = damaged(written, b"".join(swapped)).damage
        assert found is not None
        assert found.line == min(first, second) + 1


@given(number=st.integers(0, RECORDS - 1))
def test_a_record_that_is_forged_with_its_own_right_hash_is_found(written: Path, number: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        forged = Path(directory)
        kept = lines(written)
        for index in range(number + 1):
            reason = "forged" if index == number else "drill é\n"
            audit.append(
                forged, action=ACTIONS[index % 3], operator=f"alice{index}", reason=reason,
                ts_ns=10**18 + index, subject=str(index),
            )  # fmt: skip
        kept[number] = lines(forged)[number]
    found = damaged(written, b"".join(kept)).damage
    assert found is not None
    # The last one is known by the head, any other by the line that follows it.
    assert found.line == min(number + 2, RECORDS)


def test_a_lost_head_stays_visible_after_the_next_action(tmp_path: Path) -> None:
    write(tmp_path, 2)
    (tmp_path / "audit" / "head").unlink()
    assert audit.verify(tmp_path).damage is not None
    assert audit.HEAD_WAS_MISSING.encode() in write(tmp_path, 1)[-1]


def test_an_action_after_a_cut_does_not_heal_it(tmp_path: Path) -> None:
    kept = write(tmp_path, 4)
    (tmp_path / "audit" / "trail.jsonl").write_bytes(b"".join(kept[:2]))
    write(tmp_path, 1)
    found = audit.verify(tmp_path).damage
    assert found is not None
    assert found.line == 3


def test_what_a_crash_left_half_written_is_cut_and_what_it_left_unremembered_counts(tmp_path: Path) -> None:
    write(tmp_path, 2)
    head = (tmp_path / "audit" / "head").read_bytes()
    third = write(tmp_path, 1)[-1]
    (tmp_path / "audit" / "head").write_bytes(head)
    trail = tmp_path / "audit" / "trail.jsonl"
    trail.write_bytes(trail.read_bytes() + third[:20])
    assert audit.verify(tmp_path) == audit.Verification(records=3, torn_bytes=20)
    write(tmp_path, 1)
    assert audit.verify(tmp_path) == audit.Verification(records=4)


def test_a_full_disk_leaves_the_trail_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 2)
    monkeypatch.setattr("holdfast.audit.os.write", lambda _descriptor, data: len(data) - 1)
    with pytest.raises(OSError, match="full"):
        write(tmp_path, 1)
    monkeypatch.undo()
    assert audit.verify(tmp_path) == audit.Verification(records=2)


@pytest.mark.parametrize(("operator", "reason"), [("", "why"), ("who", " ")])
def test_an_action_needs_a_name_and_a_reason(tmp_path: Path, operator: str, reason: str) -> None:
    with pytest.raises(ValueError, match="needs an operator"):
        audit.append(tmp_path, action="trip", operator=operator, reason=reason, ts_ns=1)
