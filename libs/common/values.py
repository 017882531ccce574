"""Values of which there are thousands."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """A dataclass that nobody may change. The type checker sees to it: what sees to it at run time makes each five
    times as slow to make.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
