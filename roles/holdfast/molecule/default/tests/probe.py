"""Runs in the place of a service, with all that its unit takes away, and tells what it may still do."""

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import sys
from pathlib import Path

PTRACE_ATTACH = 16
CLONE_NEWUSER = 0x10000000
library = ctypes.CDLL(None, use_errno=True)


def outcome(action):
    """Return "may", or the name of the error."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "may"


def call(name, *arguments):
    """Call the C library; raise OSError when it fails."""
    if getattr(library, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def attach():
    """Trace a child of one's own: nobody but the unit's filter forbids that."""
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        call("ptrace", PTRACE_ATTACH, child, None, None)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def others_credentials():
    """Read what systemd handed to other services."""
    own = os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere")
    found = [folder for folder in sys.argv[1:] if folder != own]
    return {folder: outcome(lambda folder=folder: os.listdir(folder)) for folder in found}


def connect(address, port):
    """Open a connection."""
    with socket.create_connection((address, port), timeout=3):
        pass


told = {
    "write to /etc": outcome(lambda: Path("/etc/holdfast-probe").write_text("")),
    "write to /usr": outcome(lambda: Path("/usr/holdfast-probe").write_text("")),
    "read credentials on disk": outcome(lambda: Path("/etc/holdfast/credentials/alpaca_api_secret").read_text()),
    "trace": outcome(attach),
    "raw socket": outcome(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)),
    "packet socket": outcome(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "become root": outcome(lambda: os.setuid(0)),
    "make a namespace": outcome(lambda: call("unshare", CLONE_NEWUSER)),
    "write what it runs": outcome(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)),
    "load a kernel module": outcome(lambda: call("syscall", 175, None, 0, b"")),
    "connect to a host off the list": outcome(lambda: connect("10.0.0.1", 80)),
}
told |= {f"read {folder}": result for folder, result in others_credentials().items()}
own = os.environ.get("CREDENTIALS_DIRECTORY")
print(json.dumps({"refused": told, "own credentials": sorted(os.listdir(own)) if own else []}))
