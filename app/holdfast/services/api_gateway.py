"""The api-gateway: REST, events and the operators' commands over TLS 1.3; the only writer of `control`."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from holdfast import clock
from holdfast._native import RiskLimits
from holdfast.errors import ConfigError
from holdfast.gateway.app import Parts, create_app
from holdfast.gateway.control import Control
from holdfast.gateway.limit_view import LimitView
from holdfast.gateway.limits import Limits
from holdfast.gateway.tokens import TokenFile, tokens_file
from holdfast.gateway.view import JournalView
from holdfast.logs import get_logger
from holdfast.service import Frame
from holdfast.settings import Settings
from holdfast.settings.risk_limits import load_risk_limits

HEARTBEAT_INTERVAL_S = 0.1
VIEW_WAIT_S = 0.25
CONCURRENCY_MAX = 200
KEEP_ALIVE_S = 15
GRACE_S = 3

log = get_logger()


class GatewayServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the frame has them. `is_up` is set once it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, and say so."""
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the frame."""
        yield

    @property
    def port(self) -> int:
        """The port that is bound."""
        return int(self.servers[0].sockets[0].getsockname()[1])


def make_server(app: FastAPI, settings: Settings) -> GatewayServer:
    """Return the server of an application. Raises: ConfigError when certificate or key are missing or wrong."""
    own = settings.services.api_gateway
    certificate_file, key_file = _pair(settings)
    config = uvicorn.Config(
        app,
        host=own.bind_address,
        port=own.port,
        ssl_certfile=certificate_file,
        ssl_keyfile=key_file,
        http="httptools",
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONCURRENCY_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ws_max_size=4096,
        ws_per_message_deflate=False,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            file=certificate_file,
            key="services.api_gateway.tls_cert_file",
            expected="a certificate and its key in PEM",
            found=str(error),
        ) from None
    assert isinstance(config.ssl, ssl.SSLContext)
    config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    return GatewayServer(config)


def _pair(settings: Settings) -> tuple[Path, Path]:
    own = settings.services.api_gateway
    if own.tls_cert_file is not None and own.tls_key_file is not None:
        return own.tls_cert_file, own.tls_key_file
    if settings.environment != "development" or own.tls_cert_file or own.tls_key_file:
        raise ConfigError(
            file=settings.config_dir / "system.json",
            key="services.api_gateway.tls_cert_file",
            expected="tls_cert_file and tls_key_file; only development makes a pair of its own",
        )
    certificate_file = settings.state_dir / "keys" / "gateway.crt"
    key_file = settings.state_dir / "keys" / "gateway.key"
    if not (certificate_file.exists() and key_file.exists()):
        from holdfast.gateway.certificate import make_pair  # noqa: PLC0415 - costs memory, needed once

        make_pair(certificate_file, key_file, dt.datetime.fromtimestamp(clock.now_ns() / 1e9, dt.UTC))
    return certificate_file, key_file


async def _follow(view: JournalView, stopping: asyncio.Event) -> None:
    """Keep the view at the end of the journals."""
    while not stopping.is_set():
        if not await asyncio.to_thread(view.read):
            await asyncio.to_thread(view.wait, VIEW_WAIT_S)


async def _beat(control: Control, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        control.heartbeat()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), HEARTBEAT_INTERVAL_S)


async def serve(
    settings: Settings,
    stopping: asyncio.Event,
    *,
    limits: RiskLimits,
    started: asyncio.Future[int],
) -> None:
    """Serve until `stopping`; `started` gets the port once requests are answered."""
    control = Control(settings)
    view = JournalView(settings)
    try:
        await asyncio.to_thread(view.catch_up)
        in_force = LimitView(limits)
        await asyncio.to_thread(in_force.read, settings)
        parts = Parts(
            settings=settings,
            view=view,
            control=control,
            tokens=TokenFile(tokens_file(settings)),
            limits=Limits(in_force, control),
            stopping=stopping,
        )
        server = make_server(create_app(parts), settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(_beat(control, stopping))
            group.create_task(_follow(view, stopping))
            serving = group.create_task(server.serve())
            await server.is_up.wait()
            log.info("gateway_listening", address=settings.services.api_gateway.bind_address, port=server.port)
            started.set_result(server.port)
            stop = group.create_task(stopping.wait())
            await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
            stopping.set()
            server.should_exit = True
    finally:
        stopping.set()
        view.close()
        control.close()


async def run(frame: Frame) -> None:
    """Run the api-gateway until the frame stops."""
    risk = load_risk_limits(frame.settings)
    limits = risk.limits
    del risk
    started = asyncio.get_running_loop().create_future()
    started.add_done_callback(lambda future: None if future.cancelled() else frame.ready())
    await serve(frame.settings, frame.stopping, limits=limits, started=started)
