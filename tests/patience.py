"""How long a test waits for what must come: longer than the slowest machine needs, shorter than a hang."""

PATIENCE_S = 60.0
