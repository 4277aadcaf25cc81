"""Configuration: raw files in, frozen validated settings out."""

from holdfast.settings.load import load_settings
from holdfast.settings.schema import ServiceSettings, Settings, StrategySettings

__all__ = ["ServiceSettings", "Settings", "StrategySettings", "load_settings"]
