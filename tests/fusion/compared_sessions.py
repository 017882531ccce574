"""Sessions to compare versions of the model on."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from libs.common.db.database import Database
from quietus_edge.ids import uuid7
from services.fusion.fold import Models
from services.fusion.vocabulary import CrisisSignal
from tests.fusion.events import apply, committed
from tests.fusion.make import batch, chunk, predictions, said, shown

ENTER = {"medium": 0.15, "high": 0.3, "critical": 0.8}
LEAVE = {"medium": 0.1, "high": 0.25, "critical": 0.7}
# By these whoever isn't calm is high.
ENTER_EARLY = {"medium": 0.001, "high": 0.002, "critical": 0.9}
LEAVE_EARLY = {"medium": 0.0005, "high": 0.001, "critical": 0.8}
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return NEW_YEAR + timedelta(days=number)


def person(number: int) -> UUID:
    return UUID(int=(4 << 76) + (2 << 62) + number)


# One session a day.
SESSION_IDS = [uuid7(day(number) + timedelta(hours=8)) for number in range(12)]


async def fuse_sessions(database: Database, models: Models, people: int) -> None:
    """Of so many people in turn, 12 chunks each, one more strained than the other."""
    order = random.Random(3)  # noqa: S311 - numbers that repeat
    for number, session_id in enumerate(SESSION_IDS):
        for each in range(12):
            distress = min(0.09 * number + order.random() * 0.3, 1.0)
            signals = frozenset({CrisisSignal.PLAN_OR_INTENT}) if (number, each) == (2, 9) else frozenset()
            one = chunk(
                each, audio=shown(probability=round(distress, 4)), text=said(round(distress, 4), signals=signals)
            )
            made = batch(each, *predictions(one), session_id=session_id, user_id=person(1 + number % people))
            await apply(database, models, [committed(made)])
