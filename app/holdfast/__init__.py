"""Holdfast: an algorithmic-trading appliance."""
