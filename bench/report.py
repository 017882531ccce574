"""What every bench prints beside its figures."""

import os
import platform
from collections.abc import Mapping, Sequence
from types import MappingProxyType


def machine() -> dict[str, object]:
    """What the figures depend on most; `load_average`: of the last minute, so that a busy machine shows."""
    return {
        "processors": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in cells)
        for row in (head, *rows)
        for cells in [list(enumerate(zip(row, widths, strict=True)))]
    ]
    return "\n".join(lines)


def misses(
    figures: Mapping[str, float], at_least: Mapping[str, float], at_most: Mapping[str, float] = MappingProxyType({})
) -> list[str]:
    too_little = [
        f"{name} is {figures[name]:.2f}, not {least:g} or more"
        for name, least in at_least.items()
        if figures[name] < least
    ]
    too_much = [
        f"{name} is {figures[name]:.2f}, not {most:g} or less" for name, most in at_most.items() if figures[name] > most
    ]
    return too_little + too_much
