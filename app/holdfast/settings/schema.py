"""What system.json may say. Unknown keys are refused; every value has its unit in its name."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, model_validator

Port = Annotated[int, Field(ge=0, le=65535)]
Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9.]{1,10}(/[A-Z]{3,4})?$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


class Section(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VenueSettings(Section):
    """Where the venue is and how to speak to it. URLs without a trailing slash."""

    trading_url: str = Field(pattern=r"^https://[^/]+$")
    trading_stream_url: str = Field(pattern=r"^wss://.+$")
    data_url: str = Field(pattern=r"^https://[^/]+$")
    data_stream_url: str = Field(pattern=r"^wss://[^/]+$")
    feed: Literal["iex", "sip", "delayed_sip", "test"] = "iex"
    encoding: Literal["json", "msgpack"] = "json"
    ca_file: Path | None = None
    requests_per_minute: int = Field(default=200, ge=1, le=100_000)
    entries_per_minute: int = Field(default=120, ge=1, le=100_000)


class JournalSettings(Section):
    """Shape of the journals."""

    durability: Literal["process", "power"] = "process"
    segment_mib: int = Field(default=16, ge=1, le=1024)
    segments_retained_max: int = Field(default=0, ge=0)
    spin_us: int = Field(default=0, ge=0, le=1_000_000)


class ClockSettings(Section):
    """Whose time the session follows: the host's, or the simulated venue's."""

    session_time: Literal["host", "venue"] = "host"


class FencingSettings(Section):
    """Who may send for the account: one execution-engine of this host, or one of all hosts that share a database.

    A lease that is not renewed ends after `lease_s`; others wait `margin_s` longer; entries stop `wind_down_s` before.
    """

    mode: Literal["host", "database"] = "host"
    account: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    lease_s: float = Field(default=20.0, ge=1, le=300)
    margin_s: float = Field(default=5.0, ge=0.5, le=60)
    wind_down_s: float = Field(default=5.0, ge=0.2, le=60)

    @model_validator(mode="after")
    def _ends_before_it_is_renewed(self) -> Self:
        if self.wind_down_s > self.lease_s / 2:
            message = f"wind_down_s at most half of lease_s, {self.lease_s / 2:g}"
            raise ValueError(message)
        return self


class ServiceSettings(Section):
    """What every service has."""

    metrics_port: Port
    cpus: tuple[int, ...] = ()


class MarketDataSettings(ServiceSettings):
    """The market-data service."""

    metrics_port: Port = 9101
    stale_after_s: float = Field(default=60.0, gt=0, le=3600)
    has_backfill: bool = True


class SignalBridgeSettings(ServiceSettings):
    """The signal-bridge service."""

    metrics_port: Port = 9102


class RiskManagerSettings(ServiceSettings):
    """The risk-manager service."""

    metrics_port: Port = 9103


class ExecutionEngineSettings(ServiceSettings):
    """The execution-engine service. Intervals are those between two reconciliations."""

    metrics_port: Port = 9104
    connections: int = Field(default=4, ge=1, le=16)
    in_flight_interval_s: float = Field(default=5.0, gt=0, le=60)
    open_orders_interval_s: float = Field(default=10.0, gt=0, le=300)
    positions_interval_s: float = Field(default=30.0, gt=0, le=900)


class RecorderSettings(ServiceSettings):
    """The recorder service."""

    metrics_port: Port = 9105
    batch_rows_max: int = Field(default=5000, ge=1, le=100_000)
    batch_interval_ms: int = Field(default=200, ge=1, le=10_000)
    records_quotes: bool = False


class RelaySettings(ServiceSettings):
    """The relay service: it serves the journals, or mirrors another host's."""

    metrics_port: Port = 9106
    bind_address: str = "127.0.0.1"
    ports: dict[Name, Port] = Field(
        default={"market_data": 5555, "signals": 5556, "orders": 5557, "executions": 5558},
    )
    mirror_address: str = ""
    mirror_server_key: str = ""
    keys_dir: Path | None = None


class ApiGatewaySettings(ServiceSettings):
    """The api-gateway service."""

    metrics_port: Port = 9107
    bind_address: str = "127.0.0.1"
    port: Port = 8080
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    tokens_file: Path | None = None


class WatchdogSettings(ServiceSettings):
    """The watchdog service: how old what it watches may be before it cancels entry orders."""

    metrics_port: Port = 9108
    heartbeat_age_s_max: float = Field(default=3.0, gt=0, le=30)
    stream_age_s_max: float = Field(default=10.0, gt=0, le=60)
    reconcile_age_s_max: float = Field(default=60.0, gt=0, le=900)


class ServicesSettings(Section):
    """One section a service, named like its file."""

    market_data: MarketDataSettings = MarketDataSettings()
    signal_bridge: SignalBridgeSettings = SignalBridgeSettings()
    risk_manager: RiskManagerSettings = RiskManagerSettings()
    execution_engine: ExecutionEngineSettings = ExecutionEngineSettings()
    recorder: RecorderSettings = RecorderSettings()
    relay: RelaySettings = RelaySettings()
    api_gateway: ApiGatewaySettings = ApiGatewaySettings()
    watchdog: WatchdogSettings = WatchdogSettings()

    def of(self, name: str) -> ServiceSettings:
        """Return the section of the service `name`, dashes or underscores."""
        section = getattr(self, name.replace("-", "_"))
        assert isinstance(section, ServiceSettings), name
        return section


SERVICES = tuple(name.replace("_", "-") for name in ServicesSettings.model_fields)
"""The services by the names of their commands and units."""


class StrategySettings(Section):
    """A strategy to run: by entry point (group `holdfast.strategies`) or by path `FILE.py:CLASS`."""

    name: Name
    entry_point: str = ""
    path: str = ""
    symbols: tuple[Symbol, ...] = Field(min_length=1, max_length=200)
    parameters: dict[str, JsonValue] = {}
    is_enabled: bool = True


class Settings(Section):
    """The whole configuration of one host."""

    environment: Literal["development", "staging", "production"] = "development"
    trading_mode: Literal["paper", "live"] = "paper"
    state_dir: Path
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics_address: str = "127.0.0.1"
    symbols: tuple[Symbol, ...] = Field(min_length=1, max_length=200)
    venue: VenueSettings
    clock: ClockSettings = ClockSettings()
    journal: JournalSettings = JournalSettings()
    fencing: FencingSettings = FencingSettings()
    services: ServicesSettings = ServicesSettings()
    strategies: tuple[StrategySettings, ...] = ()
    database_url: SecretStr | None = None
    alpaca_api_key: SecretStr | None = None
    alpaca_api_secret: SecretStr | None = None
    watchdog_api_key: SecretStr | None = None
    watchdog_api_secret: SecretStr | None = None
    limit_overrides: dict[str, Decimal] = {}
    config_dir: Path
    config_hash: int = 0
