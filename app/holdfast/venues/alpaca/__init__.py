"""Alpaca: connection, trading and order stream, market-data feed, history."""
