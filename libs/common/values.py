"""Values of which there are thousands."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")
N = TypeVar("N", bound=tuple[Any, ...])


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """A dataclass that nobody may change. The type checker sees to it: what sees to it at run time makes each five
    times as slow to make.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


def maker(named_tuple: type[N]) -> Callable[[Iterable[Any]], N]:
    """Makes one of all its fields, which nobody counts: to call the class itself takes three times as long."""
    return partial(tuple.__new__, named_tuple)
