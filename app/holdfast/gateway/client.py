"""Asking the api-gateway of this host in an operator's name, by the operator's token."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from holdfast.errors import BadInput, OperatingError

if TYPE_CHECKING:
    from holdfast.settings import Settings

TIMEOUT_S = 10.0


def ask(settings: Settings, token: str, path: str, body: dict[str, object]) -> dict[str, Any]:
    """Send a POST below /api/v1. Raises: BadInput for what it refuses, OperatingError when it cannot be asked."""
    own = settings.services.api_gateway
    host = "127.0.0.1" if own.bind_address in ("", "0.0.0.0", "::") else own.bind_address  # noqa: S104 - compared only
    url = f"https://{host}:{own.port}/api/v1/{path}"
    try:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=_pinned(settings)) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        with suppress(ValueError, KeyError):
            raise BadInput(str(json.load(error)["message"])) from None
        raise OperatingError(f"{url}: {error}") from None
    except (OSError, ValueError) as error:
        raise OperatingError(f"{url}: {error}: is the api-gateway running?") from None


def _pinned(settings: Settings) -> ssl.SSLContext:
    """Trust the gateway's own certificate and nothing else: whatever name it bears."""
    own = settings.services.api_gateway
    certificate = own.tls_cert_file or settings.state_dir / "keys" / "gateway.crt"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_verify_locations(os.fspath(certificate))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
