"""Strategies: the API a trader writes against, the host that runs them, two honest examples."""

from holdfast.strategies.api import Context, Parameters, SessionEvent, Strategy

__all__ = ["Context", "Parameters", "SessionEvent", "Strategy"]
