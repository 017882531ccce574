"""Finds the check that a document demands."""

import re
from collections.abc import Mapping

from deploy.schema.deviations import Deviation


def find_check(demanded: str, found: Mapping[str, str]) -> tuple[str, set[Deviation]] | None:
    """`found` has definitions by name. One that differs in nothing but allowing more values is an extended one."""
    form, values = _form_and_values(demanded)
    for name, definition in found.items():
        found_form, found_values = _form_and_values(definition)
        if found_form == form and found_values >= values:
            return name, {Deviation.CHECK_EXTENDED} if found_values > values else set()
    return None


def _form_and_values(definition: str) -> tuple[str, frozenset[str]]:
    """The order of a list of values means nothing."""
    values = frozenset(value for listed in re.findall(r"ARRAY\[(.*?)\]", definition) for value in listed.split(", "))
    return re.sub(r"ARRAY\[.*?\]", "ARRAY", definition), values
