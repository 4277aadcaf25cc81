"""Stubs of the native core; a test compares them with the module."""
