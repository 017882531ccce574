"""What a log may say of an exception."""

import traceback
from typing import Any

_MAX_FRAMES = 20


def describe_failure(error: BaseException) -> dict[str, Any]:
    """The types along the chain of causes and the frames of the last one; no text, which could hold data."""
    return {"exception": " < ".join(_types(error)), "frames": _frames(error)}


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
