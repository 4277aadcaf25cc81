import base64
import re

UNIT = "prometheus-alertmanager"
SECRETS = {"smtp_password": "password-of-mail", "webhook_token": "token-of-webhook", "heartbeat_token": "token-of-heartbeat"}
# Takes two posts and says who posted with which token.
SINK = """
import http.server
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.end_headers()
        print(self.path, self.headers['Authorization'], flush=True)
    def log_message(self, *rest):
        pass
server = http.server.HTTPServer(('127.0.0.1', 8000), Sink)
for _ in range(2):
    server.handle_request()
"""
# What Prometheus would send.
SENDER = """
import urllib.request
body = b'[{"labels": {"alertname": "DatabaseDown", "severity": "critical"}}, {"labels": {"alertname": "Watchdog"}}]'
headers = {'Content-Type': 'application/json'}
urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:9093/api/v2/alerts', body, headers))
"""


def test_it_runs_confined(host):
    assert host.service(UNIT).is_running
    assert host.service(UNIT).is_enabled
    done = host.run(f"systemd-analyze security --threshold=20 --no-pager {UNIT}.service")
    assert done.rc == 0, done.stdout


def test_it_listens_on_the_host_only_and_gossips_with_nobody(host):
    ports = re.findall(r"(\S+):(\d+) .*prometheus-aler", host.check_output("ss -Hltunp"))
    assert ports == [("127.0.0.1", "9093")]


def test_configuration_is_valid_and_holds_no_secret(host):
    file = host.file("/etc/alertmanager/alertmanager.yml")
    assert host.run(f"amtool check-config {file.path}").rc == 0
    assert ".invalid" not in file.content_string
    assert "slack" not in file.content_string
    assert not [secret for secret in SECRETS.values() if secret in file.content_string]


def test_secrets_are_read_by_root_alone_and_stand_in_no_log(host):
    for name, secret in SECRETS.items():
        file = host.file(f"/etc/alertmanager/secrets/{name}")
        assert (file.user, file.mode, file.content_string) == ("root", 0o600, secret)
        assert host.run(f"runuser -u prometheus -- cat {file.path}").rc != 0
        assert host.run(f"journalctl --no-pager | grep -v COMMAND= | grep -q {secret}").rc != 0


def test_an_alert_arrives_with_the_token_of_its_receiver(host):
    for name, text in {"sink": SINK, "sender": SENDER}.items():
        host.check_output(f"echo {base64.b64encode(text.encode()).decode()} | base64 -d >/run/{name}.py")
    told = host.run("cd /run && { timeout 20 python3 sink.py & } && sleep 1 && python3 sender.py && wait")
    assert sorted(told.stdout.splitlines()) == [
        "/heartbeat Bearer token-of-heartbeat",
        "/webhook Bearer token-of-webhook",
    ], told.stderr
