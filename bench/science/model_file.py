"""How a model's document is written: a list of numbers stands on one line, so that a change can be read."""

import json
import re
from collections.abc import Mapping
from typing import Any

_INNERMOST_LIST = re.compile(r"\[[^\[\]{}]*\]")


def written(document: Mapping[str, Any]) -> str:
    indented = json.dumps(document, indent=2)
    return _INNERMOST_LIST.sub(lambda found: f"[{' '.join(found.group()[1:-1].split())}]", indented) + "\n"
