"""Test hosts: Debian in systemd-nspawn, each lab in a network namespace of its own. `python -m lab --help`."""
