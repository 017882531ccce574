"""The only place where the parts of ingest are put together."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from libs.common.clock import Clock, utc_now
from libs.common.db.database import Database
from libs.common.db.partitions import ensure_partitions
from libs.common.feed.follower import Follower
from libs.common.feed.servicer import FeedServicer
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.pagination import PageTokens
from libs.common.people.access import Access
from libs.common.people.follower import IdentityHandler
from libs.common.rpc.app import Running
from libs.common.rpc.client import ServiceToken
from libs.common.rpc.errors import AppError
from libs.common.rpc.server import ServerParts, Servicer, build_server
from libs.common.security.signing_keys import IdentityKeys
from libs.common.security.tokens import TokenVerifier
from quietus.common.v1.feed_pb2_grpc import add_FeedServiceServicer_to_server
from quietus.ingest.v1.ingest_pb2_grpc import add_IngestServiceServicer_to_server
from services.ingest.backfill import IngestBackfill
from services.ingest.committer import Committer, Limits
from services.ingest.service.predictions import Predictions
from services.ingest.service.recording import Recorder
from services.ingest.service.sessions import Sessions
from services.ingest.service.stream import StreamLimits
from services.ingest.servicer import SERVICE, UNVALIDATED_METHODS, IngestServicer
from services.ingest.settings import IngestSettings

log = structlog.get_logger()

NAME = "ingest"
PARTITION_JOB_SECONDS = 3600.0
PARTITION_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What serves, and what has to run beside it."""

    server: ServerParts
    committer: Committer
    tail: Tail


def make_parts(settings: IngestSettings, database: Database, metrics: Metrics, clock: Clock = utc_now) -> Parts:
    tail = Tail(database, metrics)
    limits = Limits(settings.group_max_predictions, settings.group_max_bytes, settings.queue_max_bytes)
    committer = Committer(Recorder(database, metrics).commit, limits)
    stream_limits = StreamLimits(
        settings.credit_max_batches, settings.credit_max_predictions, settings.stream_idle_seconds
    )
    sessions = Sessions(database, Access(database), timedelta(days=settings.retention_days), clock)
    predictions = Predictions(database, sessions, committer, stream_limits, clock)
    page_tokens = PageTokens(settings.page_token_secret.encode())
    servicers = (
        Servicer(
            add_IngestServiceServicer_to_server,
            IngestServicer(sessions, predictions, page_tokens, clock),
            SERVICE,
        ),
        Servicer(
            add_FeedServiceServicer_to_server,
            FeedServicer(database, tail, IngestBackfill()),
            "quietus.common.v1.FeedService",
        ),
    )
    return Parts(ServerParts(NAME, servicers, UNVALIDATED_METHODS), committer, tail)


async def compose(settings: IngestSettings, metrics: Metrics) -> Running:
    database = Database(settings.database_url, NAME, settings.database_pool_size)
    parts = make_parts(settings, database, metrics)
    keys = IdentityKeys(settings.identity_address)
    token = ServiceToken(settings.identity_address, settings.api_key_path(NAME))
    follower = Follower(
        database,
        source="identity",
        follower=NAME,
        address=settings.identity_address,
        token=token,
        handler=IdentityHandler(),
        metrics=metrics,
    )

    async def close() -> None:
        await token.close()
        await keys.close()
        await database.close()

    return Running(
        server=build_server(settings, parts.server, TokenVerifier(keys), metrics),
        background=(parts.committer.run, parts.tail.run, follower.run, partial(keep_partitions, database)),
        close=close,
    )


async def keep_partitions(database: Database) -> None:
    """Every hour, and again soon when somebody's long transaction was in the way."""
    while True:
        try:
            async with database.transaction() as tx:
                await ensure_partitions(tx)
        except AppError as error:
            log.warning("partitions have to wait", reason=error.reason)
            await asyncio.sleep(PARTITION_RETRY_SECONDS)
        else:
            await asyncio.sleep(PARTITION_JOB_SECONDS)
