"""Holdfast: an algorithmic-trading appliance."""

__version__ = "0.1.0"
