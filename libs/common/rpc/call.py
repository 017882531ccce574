"""One RPC on its way through the chain."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc

from libs.common.rpc.policy import MethodPolicy

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Method:
    """What is known of a method before anybody calls it."""

    path: str
    """Such as /quietus.ingest.v1.IngestService/GetSession."""
    policy: MethodPolicy
    parse: Callable[[bytes], Any]
    """Makes a message of bytes. INVALID_ARGUMENT MALFORMED_MESSAGE, INVALID_FIELD."""
    takes_stream: bool
    gives_stream: bool

    @property
    def is_stream(self) -> bool:
        return self.takes_stream or self.gives_stream


@dataclass(slots=True)
class Call:
    """One RPC. Links of the chain fill it in on the way."""

    method: Method
    context: ServicerContext
    request: Any
    """Bytes until validation has made a message of them; an iterator of messages when the method takes a stream."""
    request_id: str = ""
    anonymous_id: str = ""
    role: str = ""
    status: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""

    def metadata(self, key: str) -> str:
        """A value of the caller's metadata; empty when it isn't there or isn't text."""
        for name, value in self.context.invocation_metadata() or ():
            if name == key and isinstance(value, str):
                return value
        return ""


Proceed = Callable[[Call], Awaitable[Any]]


class Interceptor(Protocol):
    """A link of the chain. It sees every kind of RPC as one coroutine: what is streamed passes beside it."""

    async def intercept(self, call: Call, proceed: Proceed) -> Any: ...
