"""The only place where the parts of fusion are put together."""

from collections.abc import Mapping

import structlog

from libs.common.db.database import Database
from libs.common.db.partition_keeper import PartitionKeeper
from libs.common.feed.follower import Follower
from libs.common.feed.handler import FeedHandler
from libs.common.feed.pruning import Pruner, Retention
from libs.common.feed.servicer import FeedServicer
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.pagination import PageTokens
from libs.common.people.access import Access
from libs.common.people.follower import IdentityHandler
from libs.common.rpc.app import Running
from libs.common.rpc.client import ServiceToken
from libs.common.rpc.server import ServerParts, Servicer, build_server
from libs.common.security.signing_keys import IdentityKeys
from libs.common.security.tokens import TokenVerifier
from quietus.common.v1.feed_pb2_grpc import add_FeedServiceServicer_to_server
from quietus.fusion.v1.fusion_pb2_grpc import add_FusionServiceServicer_to_server
from quietus.fusion.v1.models_pb2_grpc import add_ModelServiceServicer_to_server
from services.fusion.alerts_follower import AlertsHandler
from services.fusion.backfill import History
from services.fusion.explanation import Wording
from services.fusion.fold import Models
from services.fusion.follower import IngestHandler
from services.fusion.service.answers import Sessions
from services.fusion.service.comparing import Comparisons
from services.fusion.service.live import LiveSessions
from services.fusion.service.registry import KnownModels, load_models
from services.fusion.service.replaying import SessionReplay
from services.fusion.service.reviewing import Reviews
from services.fusion.service.switching import ModelSwitching
from services.fusion.service.worder import Worder
from services.fusion.servicer.fusion import FusionServicer
from services.fusion.servicer.models import ModelServicer
from services.fusion.settings import FusionSettings
from services.fusion.store import inputs, outcomes
from services.fusion.telling import NOTHING_WORDED

NAME = "fusion"
# Of their own, one for each source, so that no question holds up what comes in.
FOLLOWER_CONNECTIONS = 3

_log = structlog.get_logger()


def open_database(settings: FusionSettings) -> Database:
    return Database(settings.database_url, NAME, settings.database_pool_size)


def handlers(models: Models) -> Mapping[str, FeedHandler]:
    """What is done with the feed of each slice that fusion follows."""
    return {"identity": IdentityHandler(), "ingest": IngestHandler(models), "alerts": AlertsHandler()}


async def open_slice(settings: FusionSettings) -> tuple[Database, Mapping[str, FeedHandler]]:
    """What `parked` works with."""
    database = open_database(settings)
    return database, handlers(await load_models(database, settings.model))


def make_parts(
    settings: FusionSettings,
    database: Database,
    models: Models,
    tail: Tail,
    wordings: Mapping[str, Wording] = NOTHING_WORDED,
) -> ServerParts:
    access, known = Access(database), KnownModels(models)
    live = LiveSessions(database, access)
    database.after_append.append(live.watchers.published)
    page_tokens = PageTokens(settings.page_token_secret.encode())
    return ServerParts(
        NAME,
        (
            Servicer(
                add_FusionServiceServicer_to_server,
                FusionServicer(
                    Sessions(database, access, known),
                    SessionReplay(database, access, known),
                    live,
                    Reviews(database, known),
                    page_tokens,
                    wordings,
                ),
                "quietus.fusion.v1.FusionService",
            ),
            Servicer(
                add_ModelServiceServicer_to_server,
                ModelServicer(ModelSwitching(database), Comparisons(database)),
                "quietus.fusion.v1.ModelService",
            ),
            Servicer(
                add_FeedServiceServicer_to_server,
                FeedServicer(database, tail, History(settings.retention_days)),
                "quietus.common.v1.FeedService",
            ),
        ),
    )


def make_keeper(settings: FusionSettings, database: Database, metrics: Metrics) -> PartitionKeeper:
    """Results stay when what they were made from goes."""
    expire_also = {"case_outcomes": outcomes.expire}
    return PartitionKeeper(database, metrics, settings.retention_days, inputs.expire, expire_also=expire_also)


async def compose(settings: FusionSettings, metrics: Metrics) -> Running:
    """FAILED_PRECONDITION MODEL_UNUSABLE, UNAVAILABLE without the database."""
    database = open_database(settings)
    models = await load_models(database, settings.model)
    if "model" in settings.model_fields_set and settings.model != models.active.version:
        _log.warning("model_setting_unused", setting=settings.model, in_force=models.active.version)
    tail = Tail(database, metrics)
    keys = IdentityKeys(settings.identity_address)
    token = ServiceToken(settings.identity_address, settings.api_key_path(NAME))
    following = database.beside(FOLLOWER_CONNECTIONS)
    followers = [
        Follower(
            following,
            source=source,
            follower=NAME,
            address=getattr(settings, f"{source}_address"),
            token=token,
            handler=handler,
            metrics=metrics,
            max_events_per_transaction=settings.max_events_per_transaction,
        )
        for source, handler in handlers(models).items()
    ]
    retention = Retention(settings.feed_retention_days, settings.feed_retention_max_days)
    wordings: dict[str, Wording] = {}
    worders = [Worder(database, settings, metrics, wordings)] if settings.llm_url else []

    async def close() -> None:
        await token.close()
        await keys.close()
        await following.close()
        await database.close()

    parts = make_parts(settings, database, models, tail, wordings)
    return Running(
        server=build_server(settings, parts, TokenVerifier(keys), metrics),
        background=(
            tail.run,
            *(follower.run for follower in followers),
            make_keeper(settings, database, metrics).run,
            Pruner(database, metrics, retention).run,
            *(worder.run for worder in worders),
        ),
        close=close,
    )
