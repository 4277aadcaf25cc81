"""PostgreSQL: a projection of the journals, rebuildable at any time."""
