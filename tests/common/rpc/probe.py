"""A service with a method of each kind, whose behaviour a test gives. Its messages are those of the feed."""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodDescriptorProto

from libs.common.rpc.client import Metadata
from libs.common.rpc.server import ServerParts, Servicer
from quietus.common.v1.feed_pb2 import DESCRIPTOR as FEED
from quietus.common.v1.feed_pb2 import FollowRequest, FollowResponse
from quietus.common.v1.options_pb2 import ROLE_ADMIN, ROLE_SERVICE, AccessPolicy, access, long_lived

SERVICE = "quietus.test.v1.ProbeService"
REQUEST = FollowRequest(feed_id="0197b0a0-0000-7000-8000-000000000000", follower="fusion")

_FOR_SERVICES = AccessPolicy(roles=[ROLE_SERVICE])


def _method(
    name: str,
    policy: AccessPolicy | None,
    *,
    takes_stream: bool = False,
    gives_stream: bool = False,
    lives_long: bool = False,
) -> MethodDescriptorProto:
    method = MethodDescriptorProto(
        name=name,
        input_type=f".{FollowRequest.DESCRIPTOR.full_name}",
        output_type=f".{FollowResponse.DESCRIPTOR.full_name}",
        client_streaming=takes_stream,
        server_streaming=gives_stream,
    )
    if policy is not None:
        method.options.Extensions[access].CopyFrom(policy)
    if lives_long:
        method.options.Extensions[long_lived] = True
    return method


def _describe() -> Any:
    file = FileDescriptorProto(
        name="quietus/test/v1/probe.proto", package="quietus.test.v1", syntax="proto3", dependency=[FEED.name]
    )
    file.service.add(name="ProbeService").method.extend(
        [
            _method("UnaryUnary", _FOR_SERVICES),
            _method("UnaryStream", _FOR_SERVICES, gives_stream=True),
            _method("StreamUnary", _FOR_SERVICES, takes_stream=True),
            _method("StreamStream", _FOR_SERVICES, takes_stream=True, gives_stream=True),
            _method("LongStream", _FOR_SERVICES, takes_stream=True, gives_stream=True, lives_long=True),
            _method("ForAdmins", AccessPolicy(roles=[ROLE_ADMIN], scopes=["feeds"])),
            _method("Public", AccessPolicy(public=True)),
            _method("PublicStream", AccessPolicy(public=True), gives_stream=True, lives_long=True),
            _method("Unspoken", None),
        ]
    )
    descriptor_pool.Default().Add(file)
    return descriptor_pool.Default().FindServiceByName(SERVICE)


_DESCRIPTOR = _describe()


def probe_parts(**behaviors: Callable[..., Any]) -> ServerParts:
    """A server with the given behaviours, by method name."""

    def add_to_server(_: object, server: grpc.aio.Server) -> None:
        handlers = {name: _handler(name, behavior) for name, behavior in behaviors.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    return ServerParts("probe", [Servicer(add_to_server, None, SERVICE)])


def _handler(name: str, behavior: Callable[..., Any]) -> Any:
    return _kind(name, grpc, "rpc_method_handler")(
        behavior, request_deserializer=FollowRequest.FromString, response_serializer=FollowResponse.SerializeToString
    )


def call(
    channel: grpc.aio.Channel, name: str, request: Any, metadata: Metadata = (), timeout: float | None = 10
) -> Any:
    """Starts a call. A request of bytes is sent as it is."""
    multicallable = _kind(name, channel, "")(
        f"/{SERVICE}/{name}",
        request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
        response_deserializer=FollowResponse.FromString,
    )
    return multicallable(request, metadata=metadata, timeout=timeout)


def _kind(name: str, owner: Any, suffix: str) -> Any:
    method = _DESCRIPTOR.methods_by_name[name]
    takes, gives = ("stream" if streams else "unary" for streams in (method.client_streaming, method.server_streaming))
    return getattr(owner, "_".join(filter(None, (takes, gives, suffix))))
