"""The demo: PostgreSQL, the simulated venue and every service on this machine, trading, then judged by the ledger."""
