"""Where alerts are delivered to in tests: a mail server with TLS and a password, and a web server that takes JSON."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PATHS = ("/heartbeat", "/webhook", "/slack")
SMTP_USER = b"holdfast"
SMTP_PASSWORD = b"of the mail server"


@dataclass(frozen=True, slots=True)
class Post:
    """A request to the web server."""

    path: str
    authorization: str
    body: dict[str, Any]


class Mailbox:
    """Keeps what arrives, by the interface of aiosmtpd."""

    def __init__(self) -> None:
        self.mails: Queue[Message] = Queue()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert session.ssl is not None
        assert isinstance(envelope.content, bytes)
        self.mails.put(message_from_bytes(envelope.content))
        return "250 Message accepted for delivery"


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (SMTP_USER, SMTP_PASSWORD)
    return AuthResult(success=is_right)


@contextmanager
def mail_server(certificate: Path, port: int) -> Iterator[Mailbox]:
    """Run a mail server on loopback that takes mail over TLS from who knows the password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    mailbox = Mailbox()
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        # Alertmanager would try it first and does not understand how this server asks for a name.
        auth_exclude_mechanism=["LOGIN"],
        authenticator=_authenticate,
    )
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


@contextmanager
def web_server() -> Iterator[tuple[int, dict[str, Queue[Post]]]]:
    """Run a web server on loopback; yields its port and what is posted to it, by path."""
    posts: dict[str, Queue[Post]] = {path: Queue() for path in PATHS}

    class PostRecorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            posts[self.path].put(Post(self.path, self.headers.get("Authorization", ""), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), PostRecorder)
    thread = threading.Thread(target=server.serve_forever, name="web-sink")
    thread.start()
    try:
        yield server.server_port, posts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
