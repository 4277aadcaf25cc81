"""TA-Lib's indicators, the one place that imports it."""

import sys

# TA-Lib imports pandas and polars when they are installed, to accept their series; we pass plain arrays and would pay
# 50 MiB and a second of start-up for it. The names are free again afterwards.
_UNWANTED = tuple(name for name in ("pandas", "polars") if name not in sys.modules)
for _name in _UNWANTED:
    sys.modules[_name] = None  # type: ignore[assignment]
import numpy as np  # noqa: E402 - see above
import talib  # noqa: E402 - see above

for _name in _UNWANTED:
    del sys.modules[_name]

Series = np.ndarray[tuple[int], np.dtype[np.float64]]


def relative_strength_index(closes: Series, period: int) -> float:
    """Return Wilder's RSI of the last close, 0 to 100; NaN while there are fewer than `period + 1` closes."""
    return float(talib.RSI(closes, timeperiod=period)[-1])


def bollinger_bands(closes: Series, period: int, deviations: float) -> tuple[float, float, float]:
    """Return upper, middle and lower band of the last close; NaN while there are fewer than `period` closes."""
    upper, middle, lower = talib.BBANDS(closes, timeperiod=period, nbdevup=deviations, nbdevdn=deviations)
    return float(upper[-1]), float(middle[-1]), float(lower[-1])
