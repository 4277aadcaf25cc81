"""JSON logs on stdout."""

import sys

# structlog's console renderer imports rich for its tracebacks; a service that logs JSON would pay 8 MiB and
# 0.1 s of start-up for it. The name is free again afterwards for the commands that draw with rich.
_has_rich_loaded = "rich" in sys.modules
if not _has_rich_loaded:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402 - see above

if not _has_rich_loaded:
    del sys.modules["rich"]

__all__ = ["configure_logs", "get_logger"]

get_logger = structlog.get_logger


def configure_logs(level: str, *, service: str) -> None:
    """Send JSON lines to stdout from `level` on, each with the name of the service."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
