"""The HTTP API: a view of the journals, and the only writer of `control`."""
