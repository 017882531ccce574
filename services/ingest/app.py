"""The only place where the parts of ingest are put together."""

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from libs.common.clock import Clock, utc_now
from libs.common.db.availability import Availability
from libs.common.db.connections import check_room
from libs.common.db.database import Database
from libs.common.db.partition_keeper import PartitionKeeper
from libs.common.db.sizes import DIRECT_CONNECTIONS
from libs.common.feed.follower import Follower
from libs.common.feed.handler import FeedHandler
from libs.common.feed.pruning import Pruner, Retention
from libs.common.feed.servicer import FeedServicer
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.pagination import PageTokens
from libs.common.people.access import Access
from libs.common.rpc.app import Running
from libs.common.rpc.client import ServiceToken
from libs.common.rpc.server import ServerParts, Servicer, build_server
from libs.common.rpc.workers import Workers
from libs.common.security.signing_keys import IdentityKeys
from libs.common.security.tokens import TokenVerifier
from quietus.common.v1.feed_pb2_grpc import add_FeedServiceServicer_to_server
from quietus.ingest.v1.analysis_pb2_grpc import add_AnalysisServiceServicer_to_server
from quietus.ingest.v1.analytics_pb2_grpc import add_AnalyticsServiceServicer_to_server
from quietus.ingest.v1.ingest_pb2_grpc import add_IngestServiceServicer_to_server
from quietus.ingest.v1.video_pb2_grpc import add_VideoServiceServicer_to_server
from quietus.ingest.v1.voice_pb2_grpc import add_VoiceServiceServicer_to_server
from services.ingest.backfill import IngestBackfill
from services.ingest.cleaning import VoiceCleaner
from services.ingest.follower import PeopleHandler
from services.ingest.service.activity import Activity
from services.ingest.service.analyses import Analyses
from services.ingest.service.analytics import Analytics, AnalyticsLimits
from services.ingest.service.committer import Committer, Limits
from services.ingest.service.devices import Devices, Rates
from services.ingest.service.ending import SessionEnds
from services.ingest.service.exports import READS, ExportLimits, Exports
from services.ingest.service.predictions import Predictions
from services.ingest.service.recording import Recorder
from services.ingest.service.sessions import Sessions
from services.ingest.service.stream import StreamLimits
from services.ingest.service.video import Video
from services.ingest.service.voice import VoiceSessions
from services.ingest.service.watching import ModalityWatch
from services.ingest.servicer.analyses import AnalysisServicer
from services.ingest.servicer.analytics import AnalyticsServicer
from services.ingest.servicer.sessions import RAW_METHODS, SERVICE, IngestServicer
from services.ingest.servicer.video import VideoServicer
from services.ingest.servicer.voice import VoiceServicer
from services.ingest.settings import IngestSettings
from services.ingest.store import sessions

NAME = "ingest"
# Groups that commit at the same time.
COMMITS = 1
# A probe of the database, beside the one on which a process listens.
PROBES = 1
# Everybody waits for a group, and a group for whoever has a session in hand.
LOCK_SECONDS_MAX = 1.0
# Beyond the timeout of a statement; then the group is tried on another connection.
COMMIT_SECONDS_MAX = 15.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What serves, and what has to run beside it."""

    server: ServerParts
    committer: Committer
    tail: Tail
    activity: Activity
    ends: SessionEnds
    watch: ModalityWatch
    availability: Availability


def make_parts(
    settings: IngestSettings,
    database: Database,
    metrics: Metrics,
    clock: Clock = utc_now,
    reading: Database | None = None,
    committing: Database | None = None,
) -> Parts:
    """`reading` is for what reads much, so that it takes no connection from what comes in; `committing` for group
    commit, so that open streams don't wait for all those that are opened after a restart.
    """
    reading, committing = reading or database, committing or database
    tail = Tail(database, metrics)
    limits = Limits(
        settings.group_max_predictions,
        settings.group_max_bytes,
        settings.group_interval_milliseconds / 1000,
        settings.queue_max_bytes,
    )
    availability, activity = Availability(database), Activity()
    grace = timedelta(seconds=settings.session_grace_seconds)
    committer = Committer(Recorder(committing, metrics, grace).commit, limits, availability)
    devices = Devices(
        Rates(
            settings.device_predictions_per_second,
            settings.person_predictions_per_second,
            settings.burst_seconds,
            settings.device_max_streams,
        )
    )
    stream_limits = StreamLimits(
        settings.credit_max_batches, settings.credit_max_predictions, settings.stream_idle_seconds
    )
    sessions = Sessions(database, Access(database), timedelta(days=settings.retention_days), grace, clock)
    predictions = Predictions(
        database,
        sessions,
        committer,
        availability,
        devices,
        activity,
        stream_limits,
        allow_plaintext=settings.allow_plaintext,
    )
    exports = Exports(reading, sessions, ExportLimits(settings.exports_max_concurrent, settings.stream_idle_seconds))
    watch = ModalityWatch(database, activity, metrics, timedelta(seconds=settings.modality_silence_seconds), clock)
    ends = SessionEnds(database, activity, metrics, timedelta(seconds=settings.session_silence_seconds), clock)
    page_tokens = PageTokens(settings.page_token_secret.encode())
    servicers = (
        Servicer(
            add_IngestServiceServicer_to_server,
            IngestServicer(sessions, predictions, exports, page_tokens, clock),
            SERVICE,
        ),
        _analytics_servicer(settings, reading),
        Servicer(
            add_FeedServiceServicer_to_server,
            FeedServicer(database, tail, IngestBackfill()),
            "quietus.common.v1.FeedService",
        ),
        *_record_servicers(settings, database, page_tokens, clock),
    )
    server = ServerParts(NAME, servicers, RAW_METHODS, shares_port=settings.workers > 1)
    return Parts(server, committer, tail, activity, ends, watch, availability)


def _analytics_servicer(settings: IngestSettings, reading: Database) -> Servicer:
    limits = AnalyticsLimits(settings.analytics_max_concurrent, settings.analytics_statement_seconds)
    analytics = Analytics(reading, Access(reading), limits)
    service = "quietus.ingest.v1.AnalyticsService"
    return Servicer(add_AnalyticsServiceServicer_to_server, AnalyticsServicer(analytics), service)


def _record_servicers(
    settings: IngestSettings, database: Database, page_tokens: PageTokens, clock: Clock
) -> tuple[Servicer, ...]:
    """Of what devices record beside predictions."""
    access = Access(database)
    analyses = Analyses(database, access, settings.allow_plaintext, clock)
    voice_retention = timedelta(days=settings.voice_retention_days)
    voice = VoiceSessions(database, access, voice_retention, settings.allow_plaintext, clock)
    return (
        Servicer(
            add_AnalysisServiceServicer_to_server,
            AnalysisServicer(analyses, page_tokens),
            "quietus.ingest.v1.AnalysisService",
        ),
        Servicer(
            add_VideoServiceServicer_to_server,
            VideoServicer(Video(database, access, clock), page_tokens, settings.stream_idle_seconds),
            "quietus.ingest.v1.VideoService",
        ),
        Servicer(
            add_VoiceServiceServicer_to_server,
            VoiceServicer(voice, page_tokens),
            "quietus.ingest.v1.VoiceService",
        ),
    )


def open_database(settings: IngestSettings) -> Database:
    return Database(settings.database_url, NAME, settings.database_pool_size)


def connections_each(settings: IngestSettings) -> int:
    """That one process holds at most."""
    return settings.database_pool_size + _readers(settings) + COMMITS + DIRECT_CONNECTIONS + PROBES


def _readers(settings: IngestSettings) -> int:
    return settings.analytics_max_concurrent + READS


def handlers() -> Mapping[str, FeedHandler]:
    """What is done with the feed of each slice that ingest follows."""
    return {"identity": PeopleHandler()}


async def open_slice(settings: IngestSettings) -> tuple[Database, Mapping[str, FeedHandler]]:
    """What `parked` works with."""
    return open_database(settings), handlers()


async def compose(settings: IngestSettings, metrics: Metrics) -> Running:
    if not settings.page_token_secret:
        settings = settings.model_copy(update={"page_token_secret": secrets.token_hex(32)})
    database = open_database(settings)
    if settings.worker_number == 0:
        await check_room(database, settings.workers, connections_each(settings), "QUIETUS_INGEST_WORKERS")
    reading = Database(settings.database_url, NAME, _readers(settings))
    committing = database.beside(COMMITS, LOCK_SECONDS_MAX, COMMIT_SECONDS_MAX)
    parts = make_parts(settings, database, metrics, reading=reading, committing=committing)
    keys = IdentityKeys(settings.identity_address)
    token = ServiceToken(settings.identity_address, settings.api_key_path(NAME))
    followers = [
        Follower(
            database,
            source=source,
            follower=NAME,
            address=settings.identity_address,
            token=token,
            handler=handler,
            metrics=metrics,
        )
        for source, handler in handlers().items()
    ]
    retention = Retention(settings.feed_retention_days, settings.feed_retention_max_days)
    workers = Workers((sys.executable, "-m", "services.ingest"), _worker_environments(settings))
    server = build_server(settings, parts.server, TokenVerifier(keys), metrics)
    leaders_work = (
        workers.run,
        *(follower.run for follower in followers),
        PartitionKeeper(database, metrics, settings.retention_days, sessions.expire).run,
        VoiceCleaner(database, metrics).run,
        Pruner(database, metrics, retention).run,
    )

    async def close() -> None:
        await token.close()
        await keys.close()
        await reading.close()
        await committing.close()
        await database.close()

    return Running(
        server=server,
        background=(
            parts.committer.run,
            parts.tail.run,
            parts.ends.run,
            parts.watch.run,
            parts.availability.run,
            partial(parts.availability.follow, server.set_able),
            *(leaders_work if settings.worker_number == 0 else ()),
        ),
        close=close,
        drains=workers.drain,
    )


def _worker_environments(settings: IngestSettings) -> list[dict[str, str]]:
    """What each further process is told; page tokens of one have to be good for all."""
    shared = {
        "QUIETUS_INGEST_LEADER_PROCESS_ID": str(os.getpid()),
        "QUIETUS_PAGE_TOKEN_SECRET": settings.page_token_secret,
    }
    return [
        shared
        | {
            "QUIETUS_INGEST_WORKER_NUMBER": str(number),
            "QUIETUS_INGEST_METRICS_PORT": str(settings.metrics_port and settings.metrics_port + 10 * number),
        }
        for number in range(1, settings.workers)
    ]
