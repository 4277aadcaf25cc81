"""Every service in one process, with a simulated clock, venue and network: a seed decides all that can differ.

`run_seed` lets a trading day with faults happen, heals it, and hands what is left to the invariants' checkers.
"""
