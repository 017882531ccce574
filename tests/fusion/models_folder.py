"""Model files beside the shipped ones, in a folder of a test's own."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from services.fusion.models import SHIPPED, read_document
from services.fusion.science.model import checksum_of


def candidate(version: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped model under another version, with values changed ("distress.prior") and a checksum that fits."""
    document = deepcopy(read_document(SHIPPED))
    document["version"] = version
    for path, value in changes.items():
        *sections, last = path.split(".")
        place = document
        for section in sections:
            place = place[section]
        place[last] = value
    document["checksum"] = checksum_of(document)
    return document


def put(folder: Path, document: Mapping[str, Any]) -> str:
    """The version, under which it is found."""
    version = str(document["version"])
    (folder / f"{version}.json").write_text(json.dumps(document))
    return version
