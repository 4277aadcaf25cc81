"""The process campaign: real processes under seeded faults and crashes, judged by the venue's ledger."""
