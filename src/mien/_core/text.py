"""Numbers and tables as text."""

from __future__ import annotations


def percent(share: float, interval: tuple[float, float] | None = None) -> str:
    """A share in percent, with its 95 % interval if there is one."""
    text = f"{100 * share:.1f} %"
    if interval is None:
        return text
    return f"{text}  (95 %: {100 * interval[0]:.1f} to {100 * interval[1]:.1f} %)"
