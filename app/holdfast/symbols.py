"""What the name of an instrument tells."""


def is_crypto_pair(symbol: str) -> bool:
    """Whether it is a pair of coins, such as BTC/USD, which trades at all hours and in fractions."""
    return "/" in symbol
