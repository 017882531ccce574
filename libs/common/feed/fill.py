"""How a slice that has never applied anything of a feed begins with it."""

from uuid import UUID

from libs.common.clock import utc_now
from libs.common.feed.apply import Applier
from libs.common.feed.cursor import FILLING, Cursor, create_cursor, move_cursor
from libs.common.feed.inbox import read_payload
from libs.common.feed.own_feed import OwnFeed
from libs.common.feed.source import Source
from libs.common.feed.stop import FeedStoppedError
from libs.common.feed.store import read_feed_id


async def begin(source: Source, applier: Applier, own_feed: OwnFeed) -> Cursor:
    """From the feed's first batch if it is still retained, otherwise from a backfill. Returns the cursor made.

    Raises SliceEmptiedError, and has begun nothing.
    """
    feed = await source.feed()
    feed_id = UUID(feed.feed_id)
    if feed.partitions[applier.partition].pruned_position > 0:
        return await _fill(source, applier, own_feed, feed_id)
    cursor = Cursor(feed_id, 0)
    await _create(applier, own_feed, cursor)
    return cursor


async def _create(applier: Applier, own_feed: OwnFeed, cursor: Cursor) -> None:
    """Looked at last: whoever empties the slice meanwhile waits for the row, or this waits for them."""
    async with applier.database.transaction() as tx:
        await create_cursor(tx, applier.source, applier.partition, cursor)
        own_feed.check(await read_feed_id(tx))


async def _fill(source: Source, applier: Applier, own_feed: OwnFeed, feed_id: UUID) -> Cursor:
    """Until the last response the cursor says FILLING: a slice that was filled in part can't be filled on."""
    filling = False
    index = 0
    call = await source.backfill(applier.partition)
    try:
        async for response in call:
            if not filling:
                await _create(applier, own_feed, Cursor(feed_id, FILLING))
                filling = True
            if not response.payload:
                return await _finish(applier, feed_id, response.feed_id, response.through_position)
            batch = read_payload(response.payload, 0, utc_now(), applier.handler.read, index)
            await applier.apply(batch.events, FILLING, FILLING)
            index += len(batch.events)
    finally:
        call.cancel()
    raise FeedStoppedError("BACKFILL_CUT_OFF")


async def _finish(applier: Applier, feed_id: UUID, filled_from: str, position: int) -> Cursor:
    if filled_from != str(feed_id):
        raise FeedStoppedError("FEED_CHANGED")
    async with applier.database.transaction() as tx:
        await move_cursor(tx, applier.source, applier.partition, FILLING, position)
    return Cursor(feed_id, position)
