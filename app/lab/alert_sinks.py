"""Where a lab's alerts arrive, beside its hosts: a mail server and a web server over TLS, and the dead-man's service.

What arrives is a line of `heard.jsonl` in the lab's folder; so is a heartbeat that stays away, and its return.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import network
from lab.place import LABS, LabError, run

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

SITE = Path(__file__).resolve().parents[2] / "ansible/inventories/local/group_vars/all/alertmanager.yml"
MAIL_PORT = 587
WEB_PORT = 443
STARTED_WITHIN_S = 20
# Expected once a minute.
HEARTBEAT_MISSED_AFTER_S = 90


def folder(lab: str) -> Path:
    """Return where a lab's sinks keep certificate, key and what they heard."""
    return LABS / lab / "alerts"


def start(lab: str) -> None:
    """Run the sinks in the lab's network until the lab ends; those that run already go on."""
    there = folder(lab)
    there.mkdir(exist_ok=True)
    words = ["-m", "lab", "serve-alerts", lab]
    mark = "\0".join(words).encode()
    if any(mark in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in network.inhabitants(lab)):
        return
    network.add_address(lab, network.RECEIVERS)
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"),
        *("-subj", "/CN=receivers of alerts", "-addext", f"subjectAltName=IP:{network.RECEIVERS}"),
        *("-keyout", there / "key.pem", "-out", there / "cert.pem"),
    )
    (there / "ready").unlink(missing_ok=True)
    with (there / "log").open("a") as log:
        subprocess.Popen(
            [*network.enter(lab), sys.executable, *words],
            env=network.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline_s = time.monotonic() + STARTED_WITHIN_S
    while not (there / "ready").exists():
        if time.monotonic() > deadline_s:
            raise LabError(f"the receivers of alerts did not start within {STARTED_WITHIN_S} s, see {there}/log")
        time.sleep(0.05)


def heard(lab: str, since_s: float) -> Iterator[dict[str, Any]]:
    """Yield what arrived since a time."""
    with (folder(lab) / "heard.jsonl").open() as lines:
        for line in lines:
            one = json.loads(line)
            if one["at_s"] >= since_s:
                yield one


class Heard:
    """Writes down what arrives, and when heartbeats stay away."""

    def __init__(self, file: Path, missed_after_s: float = HEARTBEAT_MISSED_AFTER_S) -> None:
        self._lines = file.open("a", buffering=1)
        self._missed_after_s = missed_after_s
        self._lock = threading.Lock()
        self._beat = threading.Event()

    def write(self, way: str, **told: object) -> None:
        """Append one line."""
        with self._lock:
            self._lines.write(json.dumps({"at_s": time.time(), "way": way, **told}) + "\n")

    def heartbeat(self) -> None:
        """Hear that the alerting lives."""
        self._beat.set()

    def watch(self) -> None:
        """Say when no heartbeat came, and when one comes again; before the first there is nothing to miss."""
        is_alive = self._beat.wait()
        while True:
            self._beat.clear()
            was_alive, is_alive = is_alive, self._beat.wait(self._missed_after_s)
            if is_alive != was_alive:
                text = "heartbeats came back" if is_alive else f"no heartbeat for {self._missed_after_s} s"
                self.write("dead-man", status="resolved" if is_alive else "firing", text=text)


def serve_mail(there: Path, heard_here: Heard, user: str, password: str) -> None:
    """Take mail over TLS from who knows the password, in a thread."""
    from aiosmtpd.controller import Controller  # noqa: PLC0415 - molecule's Python boots hosts without it
    from aiosmtpd.smtp import AuthResult, LoginPassword  # noqa: PLC0415

    class Mailbox:
        async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
            content = envelope.content
            mail = message_from_bytes(content if isinstance(content, bytes) else str(content).encode())
            payload = mail.get_payload(0) if mail.is_multipart() else mail
            text = payload.get_payload(decode=True).decode()  # type: ignore[union-attr]
            heard_here.write("mail", to=mail["To"], subject=str(mail["Subject"]), text=text)
            return "250 Message accepted for delivery"

    def authenticate(_server: SMTP, _session: Session, _mail: Envelope, _mechanism: str, data: object) -> AuthResult:
        expected = (user.encode(), password.encode())
        return AuthResult(success=isinstance(data, LoginPassword) and (data.login, data.password) == expected)

    Controller(
        Mailbox(),
        hostname=network.RECEIVERS,
        port=MAIL_PORT,
        tls_context=_tls(there),
        require_starttls=True,
        auth_required=True,
        # Alertmanager would try it first and does not understand how this server asks for a name.
        auth_exclude_mechanism=["LOGIN"],
        authenticator=authenticate,
    ).start()


def serve_web(there: Path, heard_here: Heard, tokens: dict[str, str]) -> None:
    """Take alerts and heartbeats as JSON from who has the path's token; until the process ends."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            is_right = self.headers.get("Authorization") == f"Bearer {tokens.get(self.path)}"
            if is_right and self.path == "/heartbeat":
                heard_here.heartbeat()
            elif is_right:
                heard_here.write("webhook", body=body)
            self.send_response(200 if is_right else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((network.RECEIVERS, WEB_PORT), Receiver)
    server.socket = _tls(there).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


def _tls(there: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(there / "cert.pem", there / "key.pem")
    return context


def serve(lab: str) -> None:
    """Run both servers with the names and secrets of the lab's inventory."""
    import yaml  # noqa: PLC0415 - molecule's Python boots hosts without it

    site = yaml.safe_load(SITE.read_text())
    there = folder(lab)
    heard_here = Heard(there / "heard.jsonl")
    threading.Thread(target=heard_here.watch, daemon=True).start()
    serve_mail(there, heard_here, site["alertmanager_smtp_username"], site["alertmanager_smtp_password"])
    (there / "ready").touch()
    tokens = {"/alerts": site["alertmanager_webhook_token"], "/heartbeat": site["alertmanager_heartbeat_token"]}
    serve_web(there, heard_here, tokens)
