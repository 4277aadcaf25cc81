"""An alert goes the whole way as shipped: our metric, Prometheus, Alertmanager, then mail, Slack and webhook."""

import json
import re
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from queue import Empty, Queue
from shutil import copytree
from typing import Any, TypeVar

import pytest
from prometheus_client import start_http_server

from alert_sinks import SMTP_PASSWORD, Mailbox, Post, mail_server, web_server
from fix_tls import make_certificate
from holdfast import clock, metrics
from holdfast.demo.configuration import free_port
from patience import PATIENCE_S

MONITORING = Path(__file__).resolve().parents[2] / "monitoring"
DELIVERED_WITHIN_S = 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """The shipped monitoring on ports of its own, and where its alerts arrive."""

    mailbox: Mailbox
    posts: dict[str, Queue[Post]]
    alertmanager_port: int

    def alerts(self) -> list[dict[str, Any]]:
        """Return what Alertmanager knows now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.alertmanager_port}/api/v2/alerts", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def wait_until_inhibited(self, name: str, *, by: str) -> None:
        """Ask Alertmanager until it holds an alert back because of another."""
        deadline_s = clock.monotonic_s() + DELIVERED_WITHIN_S
        while clock.monotonic_s() < deadline_s:
            if [by] in [
                alert["status"]["inhibitedBy"] for alert in self.alerts() if alert["labels"]["alertname"] == name
            ]:
                return
            threading.Event().wait(0.1)
        raise AssertionError(f"{name} is not inhibited by {by}: {self.alerts()}")


def wait_for(queue: Queue[T], is_wanted: Callable[[T], bool], within_s: float) -> T:
    """Take from a queue until the wanted arrives."""
    deadline_s = clock.monotonic_s() + within_s
    while True:
        try:
            found = queue.get(timeout=max(deadline_s - clock.monotonic_s(), 0.001))
        except Empty:
            raise AssertionError(f"nothing of that kind came within {within_s:g} s") from None
        if is_wanted(found):
            return found


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()


def write_alertmanager(directory: Path, *, certificate: Path, smtp_port: int, web_port: int) -> Path:
    """Write the shipped configuration with the values of this site; only `.invalid` names and paths change."""
    secrets = directory / "secrets"
    secrets.mkdir()
    (secrets / "smtp_password").write_bytes(SMTP_PASSWORD)
    (secrets / "slack_url").write_text(f"http://127.0.0.1:{web_port}/slack")
    (secrets / "webhook_token").write_text("token of the webhook")
    (secrets / "heartbeat_token").write_text("token of the heartbeat")
    copytree(MONITORING / "alertmanager", directory, dirs_exist_ok=True)
    file = directory / "alertmanager.yml"
    text = file.read_text()
    for shipped, here in (
        ("smtp.holdfast.invalid:587", f"127.0.0.1:{smtp_port}"),
        ("https://alerts.holdfast.invalid/holdfast", f"http://127.0.0.1:{web_port}/webhook"),
        ("https://heartbeat.holdfast.invalid/holdfast", f"http://127.0.0.1:{web_port}/heartbeat"),
        ("/etc/alertmanager/secrets/", f"{secrets}/"),
        ("/etc/ssl/certs/ca-certificates.crt", str(certificate)),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    file.write_text(text)
    return file


def write_prometheus(directory: Path, ports: dict[str, int]) -> Path:
    """Write the shipped configuration; each target moves to a port of this test."""
    copytree(MONITORING / "prometheus", directory, dirs_exist_ok=True)
    file = directory / "prometheus.yml"
    text, count = re.subn(
        r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{ports.get(found[1]) or free_port()}", file.read_text()
    )
    assert count > len(ports)
    file.write_text(text)
    return file


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    for folder in ("tls", "alertmanager", "prometheus"):
        (tmp_path / folder).mkdir()
    certificate = make_certificate(tmp_path / "tls")
    smtp_port, alertmanager_port = free_port(), free_port()
    exporter, thread = start_http_server(0, addr="127.0.0.1")
    ports = {"9103": exporter.server_port, "9104": exporter.server_port, "9093": alertmanager_port}
    prometheus = ["prometheus", f"--config.file={write_prometheus(tmp_path / 'prometheus', ports)}"]
    # What fires before Prometheus knows its Alertmanager is told again after this.
    prometheus += ["--rules.alert.resend-delay=1s"]
    prometheus += [f"--storage.tsdb.path={tmp_path}/series", f"--web.listen-address=127.0.0.1:{free_port()}"]
    with mail_server(certificate, smtp_port) as mailbox, web_server() as (web_port, posts):
        file = write_alertmanager(
            tmp_path / "alertmanager", certificate=certificate, smtp_port=smtp_port, web_port=web_port
        )
        alertmanager = ["prometheus-alertmanager", f"--config.file={file}", f"--storage.path={tmp_path}/alerts"]
        alertmanager += [f"--web.listen-address=127.0.0.1:{alertmanager_port}", "--cluster.listen-address="]
        with running(alertmanager, tmp_path / "alertmanager.log"), running(prometheus, tmp_path / "prometheus.log"):
            yield Site(mailbox, posts, alertmanager_port)
    exporter.shutdown()
    thread.join()
    exporter.server_close()


def names(post: Post) -> set[str]:
    return {alert["labels"]["alertname"] for alert in post.body.get("alerts", ())}


def is_about_the_latch(mail: Message) -> bool:
    return "The kill latch is set" in str(mail["Subject"])


def test_an_alert_is_delivered_within_five_seconds(site: Site) -> None:
    heartbeat = wait_for(site.posts["/heartbeat"], lambda _: True, PATIENCE_S)
    assert names(heartbeat) == {"Watchdog"}
    assert heartbeat.authorization == "Bearer token of the heartbeat"
    started_s = clock.monotonic_s()
    metrics.KILL_LATCH_SET.set(1)
    try:
        webhook = wait_for(site.posts["/webhook"], lambda post: "KillLatchSet" in names(post), DELIVERED_WITHIN_S)
        left_s = DELIVERED_WITHIN_S - (clock.monotonic_s() - started_s)
        mail = wait_for(site.mailbox.mails, is_about_the_latch, left_s)
        check_what_it_says(webhook, mail)
        slack = wait_for(site.posts["/slack"], lambda post: "kill latch" in str(post.body), DELIVERED_WITHIN_S)
        assert "monitoring/runbooks/KillLatchSet.md" in str(slack.body)
        # The cause is told; what follows from it is known and told to nobody.
        metrics.VENUE_OPEN.set(1)
        metrics.TRADING_STATE.labels(state="halted").set(1)
        site.wait_until_inhibited("TradingHalted", by=alert_of(webhook)["fingerprint"])
    finally:
        metrics.KILL_LATCH_SET.set(0)
        metrics.TRADING_STATE.labels(state="halted").set(0)
        metrics.VENUE_OPEN.set(0)
    while not site.posts["/webhook"].empty():
        assert "TradingHalted" not in names(site.posts["/webhook"].get())


def alert_of(post: Post) -> dict[str, Any]:
    (alert,) = post.body["alerts"]
    assert isinstance(alert, dict)
    return alert


def check_what_it_says(webhook: Post, mail: Message) -> None:
    assert webhook.path == "/webhook"
    assert webhook.authorization == "Bearer token of the webhook"
    alert = alert_of(webhook)
    assert alert["labels"]["job"] == "execution-engine"
    assert alert["labels"]["severity"] == "critical"
    assert mail["To"] == "on-call@holdfast.invalid"
    text = str(mail)
    assert "FIRING KillLatchSet: The kill latch is set" in text
    assert "monitoring/runbooks/KillLatchSet.md" in text
