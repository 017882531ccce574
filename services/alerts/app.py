"""The only place where the parts of alerts are put together."""

from collections.abc import Mapping

from libs.common.clock import Clock, utc_now
from libs.common.db.database import Database
from libs.common.feed.follower import FeedHandler, Follower
from libs.common.feed.pruning import Pruner, Retention
from libs.common.feed.servicer import FeedServicer
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.pagination import PageTokens
from libs.common.people.follower import IdentityHandler
from libs.common.rpc.app import Running
from libs.common.rpc.client import ServiceToken
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.rpc.server import ServerParts, Servicer, build_server
from libs.common.security.keyring import Keyring, KeyringError
from libs.common.security.signing_keys import IdentityKeys
from libs.common.security.tokens import TokenVerifier
from quietus.alerts.v1.alerts_pb2_grpc import add_AlertServiceServicer_to_server
from quietus.common.v1.feed_pb2_grpc import add_FeedServiceServicer_to_server
from services.alerts.backfill import OpenAndClosed
from services.alerts.follower import FusionHandler, PatternsHandler
from services.alerts.notifier import Notifier
from services.alerts.service.duty import Duty
from services.alerts.servicer import AlertServicer
from services.alerts.settings import AlertsSettings
from services.alerts.watching import Watchers

NAME = "alerts"


def open_database(settings: AlertsSettings) -> Database:
    return Database(settings.database_url, NAME, settings.database_pool_size)


def handlers(settings: AlertsSettings) -> Mapping[str, FeedHandler]:
    """What is done with the feed of each slice that alerts follows."""
    return {
        "identity": IdentityHandler(),
        "fusion": FusionHandler(settings.policy),
        "patterns": PatternsHandler(settings.policy),
    }


async def open_slice(settings: AlertsSettings) -> tuple[Database, Mapping[str, FeedHandler]]:
    """What `parked` works with."""
    return open_database(settings), handlers(settings)


def make_servicers(
    settings: AlertsSettings, database: Database, keyring: Keyring, tail: Tail, clock: Clock = utc_now
) -> ServerParts:
    watchers = Watchers()
    database.after_append.append(watchers.published)
    page_tokens = PageTokens(settings.page_token_secret.encode())
    return ServerParts(
        NAME,
        (
            Servicer(
                add_AlertServiceServicer_to_server,
                AlertServicer(Duty(database, keyring, clock), watchers, page_tokens),
                "quietus.alerts.v1.AlertService",
            ),
            Servicer(
                add_FeedServiceServicer_to_server,
                FeedServicer(database, tail, OpenAndClosed()),
                "quietus.common.v1.FeedService",
            ),
        ),
    )


async def compose(settings: AlertsSettings, metrics: Metrics) -> Running:
    """FAILED_PRECONDITION KEYRING_UNUSABLE: run `python -m services.identity bootstrap` first."""
    try:
        keyring = Keyring.load(settings.keyring_path)
    except KeyringError as error:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "KEYRING_UNUSABLE") from error
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
        for source, handler in handlers(settings).items()
    ]
    retention = Retention(settings.feed_retention_days, settings.feed_retention_max_days)

    async def close() -> None:
        await token.close()
        await keys.close()
        await database.close()

    return Running(
        server=build_server(settings, make_servicers(settings, database, keyring, tail), TokenVerifier(keys), metrics),
        background=(
            tail.run,
            *(follower.run for follower in followers),
            Notifier(database, settings, metrics, utc_now).run,
            Pruner(database, metrics, retention).run,
        ),
        close=close,
    )
