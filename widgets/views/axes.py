"""Ticks and numbers as figures print them: steps of 1, 2 or 5, three significant digits."""

from __future__ import annotations

import math


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values between `low` and `high`, at most `most` of them, in steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / max(most - 1, 1)))
    for factor in (1, 2, 5, 10, 20):
        first = math.ceil(low / (step * factor) - 1e-9)
        last = math.floor(high / (step * factor) + 1e-9)
        if last - first + 1 <= most:
            return [index * step * factor for index in range(first, last + 1)]
    return [low, high]


def decades(highest: float) -> list[int]:
    """Return 1, 10, 100 ... up to `highest`, thinned to a few (1, 2, 5 below ten): the ticks of a logarithmic count axis."""
    if highest < 10:
        return [mark for mark in (1, 2, 5) if mark <= max(highest, 1)]
    last = max(0, math.floor(math.log10(max(highest, 1))))
    return [10**power for power in range(0, last + 1, 1 + last // 5)]


def number(value: float) -> str:
    """Write a value with three significant digits and a true minus sign: ``0.0312``, ``−4.1``, ``1.2e5``."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e5 or size < 1e-3:
        mantissa, _, power = f"{value:.1e}".partition("e")
        text = f"{mantissa}e{int(power)}"
    else:
        text = f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"
    return text.replace("-", "−")


def tick(value: float) -> str:
    """Write the value at a tick: as `number`, without zeros at the end."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def count(value: float) -> str:
    """Write a count: ``7,850`` up to a million, ``1.2 M`` above it."""
    if value >= 1e9:
        return f"{value / 1e9:.3g} G"
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{round(value):,}"
