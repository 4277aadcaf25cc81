"""The audit trail of operators: `STATE/audit/trail.jsonl`, one line an action, each bound by a hash to the one before.

A line is the canonical JSON of its fields; `hash` is the SHA-256 of the previous hash and of the line without its own.
`STATE/audit/head` holds number, end and hash of the last line, so that a trail that was cut short is seen as well. Any
process may append, with every service down: the commands do it themselves, one at a time by a lock on the trail.
"""

import fcntl
import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FIRST_HASH = "0" * 64
HEAD_BYTES = 128
TEXT_CHARACTERS_MAX = 512
HEAD_WAS_MISSING = "[the head of the trail was missing]"
LOCK_ATTEMPTS = 40
LOCK_PAUSE_S = 0.05
FIELDS = frozenset(
    {"action", "approver", "detail", "hash", "operator", "previous", "reason", "seq", "subject", "ts_ns"}
)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a trail: the last line's number and hash, and the offset behind it."""

    seq: int = 0
    offset: int = 0
    hash: str = FIRST_HASH


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that says a number and a hash; whether they are right is another question."""

    line: int
    offset: int
    end: int
    seq: int
    ts_ns: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """The first thing that is wrong with a trail; `line` counts from 1 and is the number its record must have."""

    line: int
    offset: int
    what: str

    def __str__(self) -> str:
        """Say where and what."""
        return f"line {self.line} at offset {self.offset}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a check of a whole trail found; `torn_bytes` of a line whose writing was cut off before it counted."""

    records: int
    torn_bytes: int = 0
    damage: Damage | None = None


def append(
    state_dir: Path,
    *,
    action: str,
    operator: str,
    reason: str,
    ts_ns: int,
    subject: str = "",
    approver: str = "",
    detail: str = "",
) -> int:
    """Record an action and return its number; it is on the disk then.

    Raises: OSError when it cannot be written; ValueError without an operator or a reason.
    """
    if not operator.strip() or not reason.strip():
        raise ValueError("an action needs an operator and a reason")
    texts = {"action": action, "approver": approver, "detail": detail, "operator": operator}
    texts |= {"reason": reason, "subject": subject}
    fields: dict[str, object] = {name: text[:TEXT_CHARACTERS_MAX] for name, text in texts.items()}
    directory = state_dir / "audit"
    directory.mkdir(parents=True, exist_ok=True)
    _share(directory, state_dir)
    with _locked(directory / "trail.jsonl") as trail:
        remembered = _read_head(directory)
        if remembered is None and os.fstat(trail).st_size:
            # The next head must not make the trail look whole again.
            fields["detail"] = f"{HEAD_WAS_MISSING} {detail}".strip()[:TEXT_CHARACTERS_MAX]
        head = _true_end(trail, remembered or Head())
        fields |= {"seq": head.seq + 1, "ts_ns": ts_ns, "previous": head.hash}
        own = _hash(fields)
        line = _canonical(fields | {"hash": own}) + b"\n"
        # Behind a trail that was cut short nothing may look like its continuation: the number goes on.
        offset = os.lseek(trail, 0, os.SEEK_END)
        _write_all(trail, line)
        os.fsync(trail)
        _write_head(directory, Head(head.seq + 1, offset + len(line), own))
    return head.seq + 1


def verify(state_dir: Path) -> Verification:
    """Check every byte of the trail against its hashes and its head."""
    directory = state_dir / "audit"
    try:
        whole = (directory / "trail.jsonl").read_bytes()
    except FileNotFoundError:
        whole = b""
    head = _read_head(directory)
    if head is None:
        if not whole and not (directory / "head").exists():
            return Verification(records=0)
        return Verification(records=0, damage=Damage(line=1, offset=0, what="the head is missing or unreadable"))
    end = Head()
    for before, line in _lines(whole):
        wrong = _wrong(line, before)
        if wrong is None and before.seq + 1 == head.seq and _hash_of(line) != head.hash:
            wrong = "not the line that the head remembers"
        if wrong:
            damage = Damage(line=before.seq + 1, offset=before.offset, what=wrong)
            return Verification(records=before.seq, damage=damage)
        end = Head(before.seq + 1, before.offset + len(line) + 1, _hash_of(line))
    return _check_end(end, head, torn_bytes=len(whole) - end.offset)


def lines(state_dir: Path) -> list[Line]:
    """Return the trail's lines that can be read as such."""
    try:
        whole = (state_dir / "audit" / "trail.jsonl").read_bytes()
    except FileNotFoundError:
        return []
    found = []
    for number, (before, text) in enumerate(_lines(whole), 1):
        fields = _fields(text)
        seq, ts_ns, own = fields.get("seq"), fields.get("ts_ns"), fields.get("hash")
        if isinstance(seq, int) and isinstance(ts_ns, int) and isinstance(own, str):
            end = before.offset + len(text) + 1
            found.append(Line(line=number, offset=before.offset, end=end, seq=seq, ts_ns=ts_ns, hash=own))
    return found


def lines_after(state_dir: Path, end: Head) -> list[Line] | None:
    """Return the lines behind an end of the trail; None when what stands there does not follow it."""
    try:
        with (state_dir / "audit" / "trail.jsonl").open("rb") as trail:
            if trail.seek(0, os.SEEK_END) < end.offset:
                return None
            trail.seek(end.offset)
            rest = trail.read()
    except FileNotFoundError:
        return None
    found = []
    for text in rest.split(b"\n")[:-1]:
        if _wrong(text, end):
            return None
        fields, stop = _fields(text), end.offset + len(text) + 1
        seq, ts_ns, own = int(str(fields["seq"])), int(str(fields["ts_ns"])), str(fields["hash"])
        found.append(Line(line=seq, offset=end.offset, end=stop, seq=seq, ts_ns=ts_ns, hash=own))
        end = Head(seq, stop, own)
    return found


def actions(state_dir: Path, *, since_ns: int) -> list[dict[str, object]]:
    """Return what operators did since then, as far as the trail's lines can be read."""
    try:
        whole = (state_dir / "audit" / "trail.jsonl").read_bytes()
    except FileNotFoundError:
        return []
    every = (_fields(text) for _, text in _lines(whole))
    return [fields for fields in every if isinstance(ts_ns := fields.get("ts_ns"), int) and ts_ns >= since_ns]


def compare(found: Sequence[Line], known: Mapping[int, str]) -> Damage | None:
    """Return where a trail first differs from what a witness remembers: the hash of each line by its number."""
    by_seq = {line.seq: line for line in found}
    for seq in sorted(known):
        line = by_seq.get(seq)
        if line is None:
            after = next((each for each in found if each.seq > seq), None)
            place = (after.line, after.offset) if after else (len(found) + 1, found[-1].end if found else 0)
            what = f"number {seq} is missing, the witness remembers {max(known)}"
            return Damage(line=place[0], offset=place[1], what=what)
        if line.hash != known[seq]:
            return Damage(line=line.line, offset=line.offset, what="not the line that the witness remembers")
    return None


def read_head(state_dir: Path) -> Head | None:
    """Return the head, or None when it is missing or unreadable."""
    return _read_head(state_dir / "audit")


def _check_end(end: Head, head: Head, *, torn_bytes: int) -> Verification:
    what = ""
    if end.seq < head.seq:
        what = f"the trail ends here, the head remembers {head.seq} lines"
    elif end.seq == head.seq and end != head:
        what = f"the head remembers its end at offset {head.offset}"
    if what:
        return Verification(records=end.seq, damage=Damage(line=end.seq + 1, offset=end.offset, what=what))
    return Verification(records=end.seq, torn_bytes=torn_bytes)


def _lines(whole: bytes) -> Iterator[tuple[Head, bytes]]:
    """Yield each whole line with the end of the trail before it."""
    head = Head()
    while (stop := whole.find(b"\n", head.offset)) >= 0:
        line = whole[head.offset : stop]
        yield head, line
        head = Head(head.seq + 1, stop + 1, _hash_of(line))


def _wrong(line: bytes, before: Head) -> str | None:
    """Return what is wrong with a line that follows `before`, or None."""
    try:
        fields = json.loads(line)
    except ValueError:
        return "not a record"
    if not isinstance(fields, dict) or fields.keys() != FIELDS or _canonical(fields) != line:
        return "not as it was written"
    own = fields.pop("hash")
    if own != _hash(fields):
        return "its content is not what its hash says"
    if fields["seq"] != before.seq + 1:
        return f"expected number {before.seq + 1}, found {fields['seq']}"
    if fields["previous"] != before.hash:
        return "it does not follow the line before it"
    return None


def _true_end(trail: int, head: Head) -> Head:
    """Return where to go on: lines that were written but not yet remembered count, what was torn behind them is cut."""
    size = os.fstat(trail).st_size
    if size <= head.offset:
        return head
    end = head
    rest = os.pread(trail, size - head.offset, head.offset)
    for line in rest.split(b"\n")[:-1]:
        if _wrong(line, end):
            return end
        end = Head(end.seq + 1, end.offset + len(line) + 1, _hash_of(line))
    os.ftruncate(trail, end.offset)
    return end


def _canonical(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _hash(fields: dict[str, object]) -> str:
    return hashlib.sha256(_canonical(fields)).hexdigest()


def _hash_of(line: bytes) -> str:
    return str(_fields(line).get("hash", ""))


def _fields(line: bytes) -> dict[str, object]:
    """Return what a line says; nothing when it is no object."""
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _read_head(directory: Path) -> Head | None:
    try:
        seq, offset, own = (directory / "head").read_bytes().decode("ascii").split()
        return Head(int(seq), int(offset), own)
    except (OSError, ValueError):
        return None


def _write_head(directory: Path, head: Head) -> None:
    """Write in place: a full disk has room for what is there already."""
    text = f"{head.seq} {head.offset} {head.hash}".ljust(HEAD_BYTES - 1) + "\n"
    descriptor = os.open(directory / "head", os.O_RDWR | os.O_CREAT, 0o660)
    try:
        _share(directory / "head", directory)
        os.pwrite(descriptor, text.encode("ascii"), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _share(made: Path, folder: Path) -> None:
    """Let who shares a folder share what was made in it: the umask, or root, of a command would keep services out."""
    theirs, found = folder.stat(), made.stat()
    shared = theirs.st_mode & (0o070 if made.is_dir() else 0o060)
    if os.geteuid() == 0 and (found.st_uid, found.st_gid) != (theirs.st_uid, theirs.st_gid):
        os.chown(made, theirs.st_uid, theirs.st_gid)
    if found.st_mode & shared != shared and os.geteuid() in (0, found.st_uid):
        made.chmod(stat.S_IMODE(found.st_mode) | shared)


def _write_all(descriptor: int, data: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if os.write(descriptor, data) != len(data):
        os.ftruncate(descriptor, size)
        raise OSError("the disk is full: the action is not in the audit trail")


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """Open the trail for appending, alone. Raises: OSError when another holds it for two seconds."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o660)
    try:
        _share(file, file.parent)
        for attempt in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == LOCK_ATTEMPTS - 1:
                    raise
                threading.Event().wait(LOCK_PAUSE_S)
        yield descriptor
    finally:
        os.close(descriptor)
