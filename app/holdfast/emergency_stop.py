"""Halt everything at the venue and prove it, with Python's standard library alone and nothing of Holdfast running.

Sets the kill latch, cancels every order, proves by asking that none is open, closes positions if asked to, proves that
too, and sets the venue's own halt (`suspend_trade`). Run it as `holdfast emergency-stop`, or copy this one file and run
`python3 emergency_stop.py --help`: it imports nothing else of the package. Exit code 0 only when all of it is proven.
"""

import argparse
import contextlib
import email.utils
import fcntl
import http.client
import json
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LATCH_MAGIC = b"HFKLATCH"
LATCH_BYTES = 4096
GENERATION_AT, NOTE_AT = 8, 16
OPERATOR_BYTES, REASON_BYTES = 64, 256
REQUEST_TIMEOUT_S = 3.0
BODY_BYTES_MAX = 16 * 1024 * 1024
PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 2.0
# So long every refusal is asked again at once, whatever it wishes: a storm lets some pass. At most 100 requests.
QUICK_S = 10.0
RETRY_AFTER_S_MAX = 60.0
POLL_S_MIN, POLL_S_MAX = 0.15, 1.0
AGAIN_AFTER_S = 2.0
ORDERS_PER_PAGE, PAGES_MAX = 500, 4
ENDED = frozenset({"filled", "canceled", "expired", "replaced", "rejected", "calculated"})
PROVEN, NOT_PROVEN, BAD_CONFIGURATION = 0, 1, 78
UNSAID = "emergency stop, no reason given"
CREDENTIAL_FILES = ("alpaca_api_key", "alpaca_api_secret")


class Refused(Exception):
    """The venue answered and said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"status {status}: {message}")
        self.status = status


class OutOfTime(Exception):
    """The time for a step is over; the message tells the last failure."""


class Unusable(Exception):
    """A setting or credential that the stop cannot do without."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do and how to reach the venue. `may_queue` lets closing orders wait for the open.

    `trouble` says why the venue cannot be asked: the latch is set all the same.
    """

    url: str
    key_id: str
    secret_key: str = field(repr=False)
    latch_file: Path | None
    trouble: str = ""
    ca_file: str | None = None
    operator: str = ""
    reason: str = UNSAID
    is_flatten: bool = False
    is_suspend: bool = True
    may_queue: bool = False
    deadline_s: float = 60.0


@dataclass
class Report:
    """What is proven, and what it took."""

    latch: str = "not set"
    is_latched: bool = False
    orders_canceled: int = 0
    orders_open: list[str] = field(default_factory=list)
    has_no_orders: bool = False
    positions: dict[str, str] = field(default_factory=dict)
    is_flat: bool | None = None
    is_session_open: bool | None = None
    next_open: str = ""
    is_suspended: bool | None = None
    requests: int = 0
    rate_limited: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    times_s: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ok: bool = False


def set_latch(file: Path, operator: str, reason: str) -> str:
    """Set the kill latch without anything else running; the page is preallocated, so a full disk does not matter.

    Returns: `set` or `was set`. Raises: OSError, Unusable when the file is no latch.
    """
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        _create_latch(file)
    handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.pread(handle, 8, 0) != LATCH_MAGIC or os.fstat(handle).st_size != LATCH_BYTES:
            raise Unusable(f"{file}: expected a kill latch of {LATCH_BYTES} bytes; move it away and run this again")
        was_set = _generation(handle) % 2 == 1
        if not was_set:
            # One byte, and odd whatever it was: it can only raise the generation.
            os.pwrite(handle, b"\xff", GENERATION_AT)
            _write_note(handle, operator, reason)
        with contextlib.suppress(OSError):
            os.fsync(handle)
        if _generation(handle) % 2 == 0:
            raise OSError(f"{file}: the latch did not stay set")
        return "was set" if was_set else "set"
    finally:
        os.close(handle)


def _generation(handle: int) -> int:
    return int.from_bytes(os.pread(handle, 8, GENERATION_AT), "little")


def _create_latch(file: Path) -> None:
    """Create a set latch where none is; a link, unlike a rename, never replaces one that appeared meanwhile."""
    if file.exists():
        return
    staging = file.with_suffix(f".new-{os.getpid()}")
    page = LATCH_MAGIC + (1).to_bytes(8, "little")
    try:
        staging.write_bytes(page.ljust(LATCH_BYTES, b"\0"))
        os.link(staging, file)
    finally:
        staging.unlink(missing_ok=True)


def _write_note(handle: int, operator: str, reason: str) -> None:
    """Say who and why beside the latch; gives up rather than wait for a stopped process that holds the lock."""
    for _ in range(20):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            time.sleep(0.001)
    else:
        return
    texts = _fitting(operator, OPERATOR_BYTES) + _fitting(reason, REASON_BYTES)
    os.pwrite(handle, b"\xff" * 8, NOTE_AT)
    os.pwrite(handle, struct.pack("<q", time.time_ns()) + texts, NOTE_AT + 8)
    os.pwrite(handle, os.pread(handle, 8, GENERATION_AT), NOTE_AT)
    fcntl.flock(handle, fcntl.LOCK_UN)


def _fitting(text: str, size: int) -> bytes:
    return text.replace("\0", "").encode()[:size].decode(errors="ignore").encode().ljust(size, b"\0")


class Venue:
    """Asks the venue until it answers or the time is over; after a quick beginning it waits as the venue wishes."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self._headers = {"APCA-API-KEY-ID": plan.key_id, "APCA-API-SECRET-KEY": plan.secret_key}
        self._tls = ssl.create_default_context(cafile=plan.ca_file)
        parts = urllib.parse.urlsplit(plan.url)
        if parts.scheme != "https" or not parts.hostname:
            raise Unusable(f"trading_url: expected https://HOST, found {plan.url!r}")
        self._host, self._port = parts.hostname, parts.port or 443
        self._connection: http.client.HTTPSConnection | None = None
        self._report = report
        self.until_s = 0.0
        self._quick_until_s = time.monotonic() + QUICK_S

    def ask(self, method: str, target: str, body: object = None, *, kind: type = object) -> Any:  # noqa: ANN401
        """Return the answer's JSON, of the kind that is expected.

        Each request may be repeated: cancels and settings are idempotent, and closing reserves what it closes.
        Raises: Refused, OutOfTime.
        """
        pause_s, last = PAUSE_S_MIN, "no time left"
        while (left_s := self.until_s - time.monotonic()) > 0:
            try:
                status, headers, answer = self._once(method, target, body, min(REQUEST_TIMEOUT_S, left_s))
            except (OSError, http.client.HTTPException, ValueError) as error:
                last = f"{type(error).__name__}: {error}"
                self._count(type(error).__name__)
                wait_s = pause_s
            else:
                if status < 300 and isinstance(answer, kind):
                    return answer
                last = f"status {status}: {_message(answer)}"
                if status == 429:
                    self._report.rate_limited += 1
                    wait_s = _retry_after_s(headers, pause_s)
                elif status < 300 or status >= 500 or status in {401, 408}:
                    self._count(f"status {status}")
                    wait_s = pause_s
                else:
                    raise Refused(status, _message(answer))
            if time.monotonic() < self._quick_until_s:
                wait_s = PAUSE_S_MIN
            else:
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
            self.rest(wait_s * random.uniform(1.0, 1.2))  # noqa: S311 - jitter
        raise OutOfTime(f"{method} {target.partition('?')[0]}: {last}")

    def rest(self, duration_s: float) -> None:
        """Wait, but leave time for one more request before the end."""
        time.sleep(max(min(duration_s, self.until_s - time.monotonic() - REQUEST_TIMEOUT_S / 2), PAUSE_S_MIN / 2))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _count(self, kind: str) -> None:
        self._report.failures[kind] = self._report.failures.get(kind, 0) + 1

    def _once(self, method: str, target: str, body: object, timeout_s: float) -> tuple[int, Mapping[str, str], Any]:
        self._report.requests += 1
        connection = self._connection
        if connection is None:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._tls)
        self._connection = None
        # A socket's own time-out begins anew with each byte: this one ends an answer that drips.
        cut = threading.Timer(timeout_s, _cut, (connection,))
        cut.daemon = True
        cut.start()
        try:
            content = None if body is None else json.dumps(body)
            more = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, target, content, self._headers | more)
            response = connection.getresponse()
            text = response.read(BODY_BYTES_MAX)
            answer = json.loads(text) if text.strip() else None
        except BaseException:
            connection.close()
            raise
        finally:
            cut.cancel()
        if response.will_close:
            connection.close()
        else:
            self._connection = connection
        return response.status, {name.lower(): value for name, value in response.getheaders()}, answer


def _cut(connection: http.client.HTTPSConnection) -> None:
    with contextlib.suppress(OSError, TypeError):
        # The TLS layer's own shutdown would pull the session from under the thread that reads.
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _message(answer: object) -> str:
    return str(answer.get("message", answer))[:200] if isinstance(answer, dict) else str(answer)[:200]


def _retry_after_s(headers: Mapping[str, str], absent_s: float) -> float:
    """Return how long the venue asks to wait: Retry-After in seconds or as a date, else when its limit resets."""
    after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
    wait_s = absent_s
    with contextlib.suppress(ValueError, TypeError):
        if after.strip().replace(".", "", 1).isdigit():
            wait_s = float(after)
        elif after:
            wait_s = email.utils.parsedate_to_datetime(after).timestamp() - time.time()
        elif reset:
            wait_s = float(reset) - time.time()
    return min(max(wait_s, PAUSE_S_MIN), RETRY_AFTER_S_MAX)


class Stop:
    """The steps, in order; each one that fails is told, and the next ones are tried all the same."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan, self.say = plan, say
        self.report = Report()
        self.started_s = time.monotonic()

    def run(self) -> Report:
        """Do everything and return what is proven."""
        plan, report = self.plan, self.report
        self._latch()
        if plan.trouble:
            self._note(plan.trouble)
            return report
        try:
            self.venue = Venue(plan, report)
        except (OSError, Unusable) as error:
            self._note(f"the venue cannot be asked: {error}")
            return report
        self._step("cancel", 0.4, self._cancel_all)
        if not plan.is_flatten:
            self._step("suspend", 0.5, self._suspend)
        self._step("prove", 0.6 if plan.is_flatten else 0.9, self._prove_no_orders)
        if plan.is_flatten:
            self._step("flatten", 0.8, self._flatten)
            self._step("suspend", 0.9, self._suspend)
        self._step("last_look", 1.0, self._last_look)
        self.venue.close()
        self._latch()
        report.ok = bool(
            report.is_latched
            and report.has_no_orders
            and (report.is_suspended or not plan.is_suspend)
            and (report.is_flat or not plan.is_flatten)
        )
        return report

    def _step(self, name: str, share: float, do: Callable[[], None]) -> None:
        """Do one step within its share of the time; what is left over is the next one's."""
        self.venue.until_s = self.started_s + self.plan.deadline_s * share
        try:
            do()
        except (Refused, OutOfTime) as error:
            self._note(f"{name}: {error}")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._note(f"{name}: an answer of the venue is unreadable: {type(error).__name__} {error}")
        self.report.times_s[name] = round(time.monotonic() - self.started_s, 3)

    def _note(self, text: str) -> None:
        self.report.notes.append(text)
        self.say(f"✗ {text}")

    def _latch(self) -> None:
        file = self.plan.latch_file
        if file is None:
            self._note("no kill latch: no state directory was given")
            return
        try:
            latch, self.report.is_latched = set_latch(file, self.plan.operator, self.plan.reason), True
        except (OSError, Unusable) as error:
            self.report.is_latched = False
            self._note(f"kill latch: {error}")
            return
        if self.report.latch == "not set":
            self.report.latch = latch
            self.report.times_s["latch"] = round(time.monotonic() - self.started_s, 3)
            self.say(f"✓ kill latch {latch}")

    def _cancel_all(self) -> None:
        results = self.venue.ask("DELETE", "/v2/orders")
        self.report.orders_canceled += (count := len(results) if isinstance(results, list) else 0)
        self.say(f"✓ asked the venue to cancel every order ({count})")

    def _prove_no_orders(self) -> None:
        """Ask until nothing is open, held legs included; cancel what remains again and again."""
        poll_s, again_s = POLL_S_MIN, time.monotonic() + AGAIN_AFTER_S
        while True:
            orders = self._unended()
            self.report.orders_open = [_line_of(order) for order in orders]
            self.report.has_no_orders = not orders
            if not orders:
                self.say("✓ no order is open at the venue")
                return
            for order in orders:
                # A refusal says that it ended with its family: the next look tells.
                with contextlib.suppress(Refused):
                    if order["status"] == "held":
                        self.venue.ask("DELETE", f"/v2/orders/{urllib.parse.quote(str(order['id']))}")
            if time.monotonic() >= again_s:
                self._cancel_all()
                again_s = time.monotonic() + AGAIN_AFTER_S
            if time.monotonic() >= self.venue.until_s:
                raise OutOfTime(f"{len(orders)} orders are still open")
            self.venue.rest(poll_s)
            poll_s = min(poll_s * 1.5, POLL_S_MAX)

    def _unended(self) -> list[dict[str, Any]]:
        """Return the orders that may still fill; a list of open ones does not show held legs, one of all does."""
        listed = self.venue.ask("GET", f"/v2/orders?status=open&limit={ORDERS_PER_PAGE}", kind=list)
        seen: dict[str, dict[str, Any]] = {str(order["id"]): order for order in _with_legs(listed)}
        if unended := [order for order in seen.values() if not _has_ended(order)]:
            return unended
        until = ""
        for _ in range(PAGES_MAX):
            target = f"/v2/orders?status=all&nested=true&direction=desc&limit={ORDERS_PER_PAGE}{until}"
            page = self.venue.ask("GET", target, kind=list)
            fresh = {str(order["id"]): order for order in _with_legs(page) if str(order["id"]) not in seen}
            seen |= fresh
            if len(page) < ORDERS_PER_PAGE or not fresh:
                break
            until = f"&until={urllib.parse.quote(str(page[-1].get('submitted_at') or page[-1]['created_at']))}"
        return [order for order in seen.values() if not _has_ended(order)]

    def _flatten(self) -> None:
        """Close every position at the market while its session runs; none waits for the next one unasked."""
        asked: set[str] = set()
        self.report.is_flat = False
        poll_s = POLL_S_MIN
        while True:
            held = self._held()
            if not held:
                self.report.is_flat = True
                self.say("✓ no position is open at the venue")
                return
            clock = self.venue.ask("GET", "/v2/clock", kind=dict)
            self.report.is_session_open = bool(clock["is_open"])
            self.report.next_open = str(clock["next_open"])
            closable = [each for each in held if clock["is_open"] or self.plan.may_queue or _is_crypto(each)]
            if not closable or (not clock["is_open"] and self.plan.may_queue and asked):
                told = "closing orders wait for the open, as asked" if closable else "nothing was queued (--queue does)"
                self._note(f"session closed until {self.report.next_open}: {len(held)} positions stay open; {told}")
                return
            self._close(closable, asked)
            if time.monotonic() >= self.venue.until_s:
                raise OutOfTime(f"{len(held)} positions are still open")
            self.venue.rest(poll_s)
            poll_s = min(poll_s * 1.5, POLL_S_MAX)

    def _held(self) -> list[dict[str, Any]]:
        held: list[dict[str, Any]] = self.venue.ask("GET", "/v2/positions", kind=list)
        self.report.positions = {str(each["symbol"]): str(each["qty"]) for each in held}
        return held

    def _close(self, positions: Sequence[Mapping[str, Any]], asked: set[str]) -> None:
        """Ask for each position's end once, and again when nothing is on its way any more."""
        fresh = [each for each in positions if str(each["symbol"]) not in asked]
        if not fresh and not self.venue.ask("GET", "/v2/orders?status=open&limit=1", kind=list):
            fresh = list(positions)
        for each in fresh:
            symbol = str(each["symbol"])
            try:
                self.venue.ask("DELETE", f"/v2/positions/{urllib.parse.quote(symbol.replace('/', ''), safe='')}")
                self.say(f"✓ asked the venue to close {each['qty']} {symbol}")
            except Refused as refused:
                if symbol not in asked:
                    self._note(f"close {symbol}: {refused}")
            asked.add(symbol)

    def _suspend(self) -> None:
        """Let the venue itself refuse new orders, and ask whether it does."""
        if not self.plan.is_suspend:
            return
        self.report.is_suspended = False
        while not self.report.is_suspended:
            self.venue.ask("PATCH", "/v2/account/configurations", {"suspend_trade": True})
            answer = self.venue.ask("GET", "/v2/account/configurations", kind=dict)
            self.report.is_suspended = answer.get("suspend_trade") is True
        self.say("✓ the venue refuses new orders (suspend_trade)")

    def _last_look(self) -> None:
        """Once everything is shut, cancel and look again: what was on its way then has arrived by now."""
        is_queued = self.plan.is_flatten and self.plan.may_queue and self.report.is_session_open is False
        if not is_queued:
            self._cancel_all()
        if not self.report.is_suspended:
            self._suspend()
        if not is_queued:
            self._prove_no_orders()
        if self.plan.is_flatten and self.report.is_flat:
            self.report.is_flat = not self._held()
            if not self.report.is_flat:
                self._note("positions opened again meanwhile: run this again")


def _with_legs(orders: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for order in orders for each in (order, *(order.get("legs") or ()))]


def _has_ended(order: Mapping[str, Any]) -> bool:
    status = str(order["status"])
    return status in ENDED or (status == "done_for_day" and order.get("time_in_force") != "gtc")


def _line_of(order: Mapping[str, Any]) -> str:
    return f"{order['id']} {order.get('side')} {order.get('qty')} {order.get('symbol')} {order.get('status')}"


def _is_crypto(position: Mapping[str, Any]) -> bool:
    return position.get("asset_class") == "crypto" or "/" in str(position["symbol"])


def plan_of(
    config_dir: Path,
    *,
    env: str = "",
    credentials_dir: str = "",
    environment: Mapping[str, str] = os.environ,
    **wishes: Any,  # noqa: ANN401 - fields of Plan
) -> Plan:
    """Read system.json and the credential files as they are, without the checks that a service's start needs.

    What cannot be read is the plan's trouble. `wishes` of url, latch_file and ca_file go before the configuration.
    """
    venue: dict[str, Any] = {}
    found: dict[str, Any] = {"latch_file": None, "url": "", "ca_file": None, "key_id": "", "secret_key": ""}
    try:
        if not (wishes.get("url") and wishes.get("latch_file")):
            raw = _read_object(config_dir / "system.json")
            chosen = env or environment.get("TRADING_ENVIRONMENT", "") or raw.get("environment", "development")
            over = {} if chosen == "development" else _read_object(config_dir / f"system.{chosen}.json")
            venue = raw.get("venue", {}) | over.get("venue", {})
            state_dir = over.get("state_dir", raw.get("state_dir"))
            found["latch_file"] = Path(state_dir) / "latch" if state_dir else None
        found["url"] = environment.get("ALPACA_API_URL") or venue.get("trading_url", "")
        found["ca_file"] = venue.get("ca_file")
        found["key_id"], found["secret_key"] = read_credentials(
            credentials_dir or environment.get("CREDENTIALS_DIRECTORY", ""), environment
        )
    except Unusable as error:
        found["trouble"] = f"configuration: {error}"
    return Plan(**(found | {name: value for name, value in wishes.items() if value is not None}))


def read_credentials(directory: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return key and secret from their files, else from the environment. Raises: Unusable naming what is missing."""
    found = []
    for name in CREDENTIAL_FILES:
        file = Path(directory) / name if directory else Path(name)
        value = environment.get(name.upper(), "")
        if directory and file.exists():
            try:
                value = file.read_text().strip()
            except OSError as error:
                raise Unusable(f"{file}: {error.strerror}") from None
        if not value:
            raise Unusable(f"{file}: expected a credential file; give --credentials DIR")
        found.append(value)
    return found[0], found[1]


def _read_object(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unusable(f"{file}: expected readable JSON; or give --state and --url: {error}") from None
    if not isinstance(raw, dict):
        raise Unusable(f"{file}: expected a JSON object")
    return raw


def execute(plan: Plan, *, is_json: bool) -> int:
    """Run the plan, tell of it, and return the exit code; an output that cannot be written stops nothing."""

    def say(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(text, flush=True)  # noqa: T201 - the operator's screen

    report = Stop(plan, (lambda _text: None) if is_json else say).run()
    if is_json:
        say(json.dumps(vars(report), sort_keys=True))
    elif plan.trouble:
        say("NOTHING but the kill latch could be done: the venue was not asked")
    else:
        took_s = max(report.times_s.values(), default=0.0)
        say(f"{report.requests} requests, {report.rate_limited} refused for the rate, failures {report.failures or 0}")
        say(f"PROVEN in {took_s} s" if report.ok else f"NOT PROVEN after {took_s} s: act by hand at the venue's site")
    if plan.trouble:
        return BAD_CONFIGURATION
    return PROVEN if report.ok else NOT_PROVEN


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(prog="emergency_stop.py", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--config", default=os.environ.get("HOLDFAST_CONFIG", "/etc/holdfast"), help="directory with system.json")
    add("--env", default="", help="development, staging or production; default: what system.json says")
    add("--state", type=Path, help="state directory, instead of the configuration's")
    add("--url", help="trading URL, instead of the configuration's")
    add("--ca-file", help="authority to trust, instead of the configuration's")
    add("--credentials", default="", help="directory with the files alpaca_api_key and alpaca_api_secret")
    add("--flatten", action="store_true", help="close every position too")
    add("--queue", action="store_true", help="while the session is closed, queue closing orders for the open")
    add("--no-suspend", action="store_true", help="leave the venue's suspend_trade as it is")
    add("--operator", default=os.environ.get("SUDO_USER") or os.environ.get("USER", ""))
    add("--reason", default=UNSAID)
    add("--deadline-s", type=float, default=60.0)
    add("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    plan = plan_of(
        Path(given.config),
        env=given.env,
        credentials_dir=given.credentials,
        latch_file=given.state / "latch" if given.state else None,
        url=given.url,
        ca_file=given.ca_file,
        operator=given.operator,
        reason=given.reason,
        is_flatten=given.flatten,
        may_queue=given.queue,
        is_suspend=not given.no_suspend,
        deadline_s=given.deadline_s,
    )
    return execute(plan, is_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
