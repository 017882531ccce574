"""The only place where the parts of identity are put together."""

from functools import partial

from libs.common.clock import utc_now
from libs.common.db.database import Database
from libs.common.feed.pruning import Pruner, Retention
from libs.common.feed.servicer import FeedServicer
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.pagination import PageTokens
from libs.common.rpc.app import Running
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.rpc.server import ServerParts, Servicer, build_server
from libs.common.security.keyring import Keyring, KeyringError
from libs.common.security.tokens import StaticVerifierKeys, TokenVerifier
from quietus.common.v1.feed_pb2_grpc import add_FeedServiceServicer_to_server
from quietus.identity.v1 import identity_pb2_grpc as contract
from services.identity.backfill import History
from services.identity.housekeeping import keep_house
from services.identity.passwords import Passwords
from services.identity.service import signing
from services.identity.service.care import Care
from services.identity.service.consents import Consents
from services.identity.service.devices import Devices
from services.identity.service.exchanges import Exchanges
from services.identity.service.hashing import PasswordPool
from services.identity.service.logins import Logins
from services.identity.service.people import People
from services.identity.service.sealing_keys import SealingKeys
from services.identity.service.signing import SigningKeys
from services.identity.servicer.care import CareServicer
from services.identity.servicer.consents import ConsentServicer
from services.identity.servicer.devices import DeviceServicer
from services.identity.servicer.keys import KeyServicer
from services.identity.servicer.tokens import TokenServicer
from services.identity.servicer.users import UserServicer
from services.identity.settings import IdentitySettings
from services.identity.tokens import TokenIssuer

NAME = "identity"


async def compose(settings: IdentitySettings, metrics: Metrics, passwords: Passwords | None = None) -> Running:
    """FAILED_PRECONDITION NOT_BOOTSTRAPPED, KEYRING_UNUSABLE: run `python -m services.identity bootstrap` first."""
    database = Database(settings.database_url, NAME, settings.database_pool_size)
    try:
        keyring = Keyring.load(settings.keyring_path)
        keys = await signing.load(database, keyring)
    except KeyringError as error:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "KEYRING_UNUSABLE") from error
    pool = PasswordPool(passwords or Passwords())
    tail = Tail(database, metrics)
    verifier = TokenVerifier(StaticVerifierKeys(dict(keys.public_keys)))
    servicers = _servicers(settings, database, keyring, keys, pool)
    feed = Servicer(
        add_FeedServiceServicer_to_server,
        FeedServicer(database, tail, History()),
        "quietus.common.v1.FeedService",
    )

    async def close() -> None:
        pool.close()
        await database.close()

    return Running(
        server=build_server(settings, ServerParts(NAME, [*servicers, feed]), verifier, metrics),
        background=(
            tail.run,
            Pruner(database, metrics, Retention(settings.feed_retention_days, settings.feed_retention_max_days)).run,
            partial(keep_house, database, utc_now),
        ),
        close=close,
    )


def _servicers(
    settings: IdentitySettings, database: Database, keyring: Keyring, keys: SigningKeys, pool: PasswordPool
) -> list[Servicer]:
    page_tokens = PageTokens(settings.page_token_secret.encode())
    tokens = TokenIssuer(keys.signer, utc_now)
    people = People(database, keyring, pool, utc_now)
    logins = Logins(database, keyring, pool, tokens, utc_now)
    exchanges = Exchanges(database, tokens, utc_now)
    devices = Devices(database, keyring, utc_now)
    sealing_keys = SealingKeys(database, utc_now)
    care = Care(database, utc_now)
    consents = Consents(database, utc_now)
    package = "quietus.identity.v1"
    return [
        Servicer(
            contract.add_UserServiceServicer_to_server, UserServicer(people, page_tokens), f"{package}.UserService"
        ),
        Servicer(
            contract.add_TokenServiceServicer_to_server,
            TokenServicer(logins, exchanges, keys),
            f"{package}.TokenService",
        ),
        Servicer(contract.add_DeviceServiceServicer_to_server, DeviceServicer(devices), f"{package}.DeviceService"),
        Servicer(contract.add_KeyServiceServicer_to_server, KeyServicer(sealing_keys), f"{package}.KeyService"),
        Servicer(contract.add_ConsentServiceServicer_to_server, ConsentServicer(consents), f"{package}.ConsentService"),
        Servicer(contract.add_CareServiceServicer_to_server, CareServicer(care, page_tokens), f"{package}.CareService"),
    ]
