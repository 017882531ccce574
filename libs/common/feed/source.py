"""Another slice's FeedService, as one follower calls it."""

from typing import Final, Protocol

import grpc

from libs.common.rpc.client import Metadata
from quietus.common.v1.feed_pb2 import (
    BackfillRequest,
    BackfillResponse,
    FollowRequest,
    FollowResponse,
    GetFeedRequest,
    GetFeedResponse,
    ReportProgressRequest,
)
from quietus.common.v1.feed_pb2_grpc import FeedServiceStub

_TIMEOUT_SECONDS: Final = 10.0

Follow = grpc.aio.UnaryStreamCall[FollowRequest, FollowResponse]
Backfill = grpc.aio.UnaryStreamCall[BackfillRequest, BackfillResponse]


class Credentials(Protocol):
    """What `libs.common.rpc.client.ServiceToken` is."""

    async def metadata(self) -> Metadata: ...


class Source:
    """`name` is the slice that is followed, `follower` the one that follows. Calls raise grpc.RpcError."""

    def __init__(self, name: str, follower: str, channel: grpc.aio.Channel, credentials: Credentials) -> None:
        self.name = name
        self._follower = follower
        self._stub = FeedServiceStub(channel)
        self._credentials = credentials

    async def feed(self) -> GetFeedResponse:
        metadata = await self._credentials.metadata()
        return await self._stub.GetFeed(GetFeedRequest(), metadata=metadata, timeout=_TIMEOUT_SECONDS)

    async def follow(self, feed_id: str, partition: int, after_position: int) -> Follow:
        request = FollowRequest(
            feed_id=feed_id, follower=self._follower, partition=partition, after_position=after_position
        )
        return self._stub.Follow(request, metadata=await self._credentials.metadata())

    async def report(self, feed_id: str, partition: int, position: int) -> None:
        request = ReportProgressRequest(
            feed_id=feed_id, follower=self._follower, partition=partition, position=position
        )
        metadata = await self._credentials.metadata()
        await self._stub.ReportProgress(request, metadata=metadata, timeout=_TIMEOUT_SECONDS)

    async def backfill(self, partition: int) -> Backfill:
        request = BackfillRequest(follower=self._follower, partition=partition)
        return self._stub.Backfill(request, metadata=await self._credentials.metadata())
