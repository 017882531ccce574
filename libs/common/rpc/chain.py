"""Puts the named chain of interceptors around every method, whatever of the four kinds it is.

An RPC becomes one coroutine that goes through the chain; what it streams passes beside it, so that a message on a long
stream costs nothing here.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

import grpc
from google.protobuf import descriptor_pool, message_factory

from libs.common.rpc.call import Call, Interceptor, Method, Proceed, ServicerContext
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.rpc.policy import MethodPolicy, policy_of
from libs.common.rpc.validation import Validator, parser

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


class Chain(grpc.aio.ServerInterceptor):
    """The only interceptor that grpc.aio sees. Messages of `raw_methods` stay bytes: their servicers read them."""

    def __init__(self, interceptors: Sequence[Interceptor], raw_methods: frozenset[str] = frozenset()) -> None:
        self._interceptors = interceptors
        self._raw_methods = raw_methods
        self._validator = Validator()
        self._wrapped: dict[str, Handler] = {}
        self._unknown = _as_handler(_UNKNOWN, self._around(_refuse_unknown), None)

    async def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        path = str(handler_call_details.method)
        if path not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None:
                return self._unknown
            self._wrapped[path] = self._wrap(path, handler)
        return self._wrapped[path]

    def _wrap(self, path: str, handler: Handler) -> Handler:
        descriptor = descriptor_pool.Default().FindMethodByName(path.removeprefix("/").replace("/", "."))
        message_type = message_factory.GetMessageClass(descriptor.input_type)
        method = Method(
            path=path,
            policy=policy_of(path),
            parse=bytes if path in self._raw_methods else parser(message_type, self._validator),
            takes_stream=bool(handler.request_streaming),
            gives_stream=bool(handler.response_streaming),
        )
        return _as_handler(method, self._around(_servicer(handler)), handler.response_serializer)

    def _around(self, innermost: Proceed) -> Proceed:
        proceed = innermost
        for interceptor in reversed(self._interceptors):
            proceed = partial(interceptor.intercept, proceed=proceed)
        return proceed


def _servicer(handler: Handler) -> Proceed:
    """The end of the chain: calls the servicer, whether it yields, writes to its context, or returns."""
    behavior: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

    async def proceed(call: Call) -> Any:
        answer = behavior(call.request, call.context)
        if not hasattr(answer, "__aiter__"):
            return await answer
        async with aclosing(answer) as responses:
            async for response in responses:
                await call.context.write(response)
        return None

    return proceed


def _as_handler(method: Method, proceed: Proceed, serializer: Callable[[Any], bytes] | None) -> Handler:
    async def behavior(request: Any, context: ServicerContext) -> Any:
        return await proceed(Call(method, context, request))

    # A unary request stays bytes until its caller is known. What is streamed is parsed as the servicer reads it, so
    # that a bad message is raised where it is read.
    make = _MAKERS[method.takes_stream, method.gives_stream]
    return make(behavior, method.parse if method.takes_stream else None, serializer)


_MAKERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


async def _refuse_unknown(_: Call) -> None:
    raise AppError(ErrorKind.UNIMPLEMENTED, "METHOD_UNKNOWN")


# Any kind of call can be refused by a handler that reads nothing. One label for all, since paths come from outside.
_UNKNOWN = Method("unknown", MethodPolicy(public=True), parse=bytes, takes_stream=True, gives_stream=True)
