"""The only place where the parts of patterns are put together."""

from collections.abc import Mapping

from libs.common.db.database import Database
from libs.common.db.partition_keeper import PartitionKeeper
from libs.common.feed.follower import FeedHandler, Follower
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
from quietus.patterns.v1.patterns_pb2_grpc import add_PatternServiceServicer_to_server
from services.patterns.backfill import History
from services.patterns.follower import FusionHandler, IngestHandler
from services.patterns.method import current_method
from services.patterns.rules import current_rules
from services.patterns.service.answers import Answers
from services.patterns.service.derivation import Derivation
from services.patterns.service.gate import Gate
from services.patterns.servicer import SERVICE, PatternServicer
from services.patterns.settings import PatternsSettings
from services.patterns.store import inputs

NAME = "patterns"


def open_database(settings: PatternsSettings) -> Database:
    return Database(settings.database_url, NAME, settings.database_pool_size)


def handlers() -> Mapping[str, FeedHandler]:
    """What is done with the feed of each slice that patterns follows."""
    gate = Gate(Derivation(current_method(), current_rules()))
    return {"identity": IdentityHandler(), "ingest": IngestHandler(gate), "fusion": FusionHandler(gate)}


async def open_slice(settings: PatternsSettings) -> tuple[Database, Mapping[str, FeedHandler]]:
    """What `parked` works with."""
    return open_database(settings), handlers()


def make_parts(settings: PatternsSettings, database: Database, tail: Tail) -> ServerParts:
    page_tokens = PageTokens(settings.page_token_secret.encode())
    return ServerParts(
        NAME,
        (
            Servicer(
                add_PatternServiceServicer_to_server,
                PatternServicer(Answers(database, Access(database)), page_tokens),
                SERVICE,
            ),
            Servicer(
                add_FeedServiceServicer_to_server,
                FeedServicer(database, tail, History()),
                "quietus.common.v1.FeedService",
            ),
        ),
    )


async def compose(settings: PatternsSettings, metrics: Metrics) -> Running:
    database = open_database(settings)
    tail = Tail(database, metrics)
    keys = IdentityKeys(settings.identity_address)
    token = ServiceToken(settings.identity_address, settings.api_key_path(NAME))
    followers = [
        Follower(
            database,
            source=source,
            follower=NAME,
            address=getattr(settings, f"{source}_address"),
            token=token,
            handler=handler,
            metrics=metrics,
        )
        for source, handler in handlers().items()
    ]
    retention = Retention(settings.feed_retention_days, settings.feed_retention_max_days)

    async def close() -> None:
        await token.close()
        await keys.close()
        await database.close()

    return Running(
        server=build_server(settings, make_parts(settings, database, tail), TokenVerifier(keys), metrics),
        background=(
            tail.run,
            *(follower.run for follower in followers),
            PartitionKeeper(database, metrics, settings.retention_days, inputs.expire).run,
            Pruner(database, metrics, retention).run,
        ),
        close=close,
    )
