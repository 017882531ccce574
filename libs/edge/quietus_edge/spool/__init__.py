"""The durable spool: what an app records waits here until a service has acknowledged it."""

from quietus_edge.spool.inspect import totals_of
from quietus_edge.spool.rows import Batch, Joined, SpooledSession, Totals
from quietus_edge.spool.store import Store
from quietus_edge.spool.writer import Spool

__all__ = ["Batch", "Joined", "Spool", "SpooledSession", "Store", "Totals", "totals_of"]
