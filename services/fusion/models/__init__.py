"""The versions of the model that this build ships: one file each."""

import json
from pathlib import Path
from typing import Any

SHIPPED = "fusion-2"
_FOLDER = Path(__file__).parent


def shipped_versions() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def path_of(version: str) -> Path:
    return _FOLDER / f"{version}.json"


def read_document(version: str) -> dict[str, Any]:
    """FileNotFoundError for a version that isn't shipped."""
    document: dict[str, Any] = json.loads(path_of(version).read_text())
    return document
