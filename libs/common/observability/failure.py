"""What a log may say of an exception."""

import traceback
from pathlib import Path
from typing import Any

_MAX_FRAMES = 20
_ROOT = f"{Path(__file__).parents[3]}/"


def describe_failure(error: BaseException) -> dict[str, Any]:
    """The types along the chain of causes and the frames of the last one; no text, which could hold data."""
    return {"exception": " < ".join(_types(error)), "frames": _frames(error)}


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Those of this project alone, outermost first: a driver's and the language's own say nothing of the cause."""
    stack = traceback.extract_tb(error.__traceback__)
    return [frame for frame in stack if frame.filename.startswith(_ROOT) and "site-packages" not in frame.filename]


def place_of(frame: traceback.FrameSummary) -> str:
    """Such as services/ingest/store/rows.py:41."""
    return f"{frame.filename.removeprefix(_ROOT)}:{frame.lineno}"


def _types(error: BaseException | None) -> list[str]:
    types: list[str] = []
    while error is not None:
        types.append(type(error).__name__)
        if isinstance(error, BaseExceptionGroup):
            types.extend(f"({type(inner).__name__})" for inner in error.exceptions)
        error = error.__cause__ or error.__context__
    return types


def _frames(error: BaseException) -> list[str]:
    stack = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in stack[-_MAX_FRAMES:]]
