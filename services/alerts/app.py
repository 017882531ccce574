"""The only place where the parts of alerts are put together."""

from datetime import timedelta

from libs.common.clock import utc_now
from libs.common.db.database import Database
from libs.common.feed.follower import Follower
from libs.common.feed.servicer import FeedServicer
from libs.common.observability.metrics import Metrics
from libs.common.pagination import PageTokens
from libs.common.people.follower import IdentityHandler
from libs.common.rpc.app import Running
from libs.common.rpc.client import ServiceToken
from libs.common.rpc.server import ServerParts, Servicer, build_server
from libs.common.security.keyring import Keyring
from libs.common.security.tokens import TokenVerifier
from quietus.alerts.v1.alerts_pb2_grpc import add_AlertServiceServicer_to_server
from services.alerts.escalation import Policy
from services.alerts.follower import FusionHandler, PatternsHandler
from services.alerts.notifier import Notifier
from services.alerts.service.duty import Duty
from services.alerts.servicer import AlertServicer
from services.alerts.settings import AlertsSettings
from services.alerts.watching import Watchers

NAME = "alerts"
