"""Why something is not done: a stable reason code and a sentence for the operator."""

import enum


class Reason(enum.StrEnum):
    """Every reason for which the installer refuses; scripts depend on the words."""

    UNSIGNED = "unsigned"
    WRONG_KEY = "wrong_key"
    BAD_KEY = "bad_key"
    TRUNCATED = "truncated"
    TAMPERED = "tampered"
    MALFORMED = "malformed"
    DISK_FULL = "disk_full"
    DATABASE = "database"
    NO_GENERATION = "no_generation"
    DAMAGED = "damaged"
    OCCUPIED = "occupied"


class Refused(Exception):
    """A refusal. The host is as it was before; what was staged is removed by the next run at the latest."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
