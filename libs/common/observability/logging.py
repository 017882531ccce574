"""One JSON object a line on standard output. What is marked personal in the contracts never stands in it.

Use: `log = structlog.get_logger()`, then `log.info("session started", session_id=...)`. Exceptions are logged by type
and frames alone, because their texts may hold data.
"""

import logging
import sys
from typing import Any, TextIO

import orjson
import structlog
from google.protobuf.message import Message
from structlog.typing import EventDict, Processor, WrappedLogger

from libs.common.observability.failure import describe_failure
from libs.common.observability.redaction import redacted


def configure_logging(service: str, level: str = "info", stream: TextIO = sys.stdout) -> None:
    """Sends the logs of this process, also those of libraries, to the stream."""

    def with_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {"service": service, **event}

    shared: list[Processor] = [
        with_service,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_exception_texts,
        _without_personal_fields,
    ]
    structlog.configure(
        processors=[*shared, _as_json],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _as_json],
        )
    )
    library_level = max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()])
    logging.basicConfig(handlers=[handler], level=library_level, force=True)


def _without_exception_texts(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    exception = event.pop("exc_info", None)
    if exception is True:
        exception = sys.exc_info()
    if isinstance(exception, tuple):
        exception = exception[1]
    if isinstance(exception, BaseException):
        event.update(describe_failure(exception))
    return event


def _without_personal_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, Message):
            event[key] = redacted(value)
    return event


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return orjson.dumps(event, default=_type_name).decode()


def _type_name(value: Any) -> str:
    return f"<{type(value).__name__}>"
