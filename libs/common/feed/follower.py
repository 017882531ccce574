"""Follows another slice's feed: what its events mean here is the handler's, that each counts once is this folder's."""

from libs.common.feed.handler import FeedEvent, FeedHandler, UnknownEvent

__all__ = ["FeedEvent", "FeedHandler", "UnknownEvent"]
