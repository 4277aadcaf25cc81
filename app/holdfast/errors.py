"""The error tree, grouped by what the caller does.

HoldfastError
 +- RetryLater       nothing happened; the same call may be made again later
 +- OutcomeUnknown   bytes left and no answer proves the outcome: reconcile, never re-send
 +- BadInput         drop it, count it, log it
 +- ConfigError      exit 78; systemd does not restart the service
 +- OperatingError   the state of the host forbids it; the message says what to do
"""

from pathlib import Path

EXIT_CONFIG = 78


class HoldfastError(Exception):
    """Root of the errors that callers are expected to handle."""


class RetryLater(HoldfastError):
    """Nothing happened; the same call may be made again later."""


class OutcomeUnknown(HoldfastError):
    """The request left and its outcome is not proven: reconcile, never re-send."""


class BadInput(HoldfastError):
    """An input that cannot be used: drop it, count it, log it."""


class OperatingError(HoldfastError):
    """The state of the host forbids it; the message says what to do."""


class ConfigError(HoldfastError):
    """A configuration that must not run: where it is wrong and what was expected."""

    def __init__(self, *, file: Path | str, key: str, expected: str, found: str = "") -> None:
        self.file = str(file)
        self.key = key
        self.expected = expected
        self.found = found
        where = f"{self.file}: {key}" if key else self.file
        super().__init__(f"{where}: expected {expected}" + (f", found {found}" if found else ""))
