"""Where the default configuration lies: beside the source tree, or installed under the prefix."""

import sys
from pathlib import Path

from holdfast.errors import OperatingError


def default_config_dir() -> Path:
    """Return the directory with the shipped system.json and risk_limits.toml.

    Raises: OperatingError when the installation lacks it.
    """
    candidates = (
        Path(__file__).resolve().parents[3] / "config",
        Path(sys.prefix) / "share" / "holdfast" / "config",
    )
    for candidate in candidates:
        if (candidate / "risk_limits.toml").exists():
            return candidate
    places = " or ".join(str(candidate) for candidate in candidates)
    raise OperatingError(f"no default configuration in {places}: install Holdfast again")
