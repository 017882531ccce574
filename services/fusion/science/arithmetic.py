"""What this process calculates on: the last bits of exponentials and logarithms depend on it."""

import platform

import numpy as np
from numpy.lib import introspect


def _describe() -> str:
    """numpy's version, the machine, and the instructions that numpy chose for exp; such as "2.4.6 x86_64 X86_V4"."""
    chosen = introspect.opt_func_info(func_name="^exp$", signature="float64").get("exp", {})
    instructions = " ".join(sorted({str(one.get("current", "")) for one in chosen.values()}))
    return f"{np.__version__} {platform.machine()} {instructions}"[:32].rstrip()


ARITHMETIC = _describe()
