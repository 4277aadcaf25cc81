"""The venues: one folder each, never importing another."""
