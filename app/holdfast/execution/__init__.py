"""Parts of the execution-engine: its memory, the last-instant gate, the rate budget, proof and reconciliation."""
