"""The four levels of risk, ordered: a greater one is a greater risk."""

from enum import IntEnum


class Level(IntEnum):
    """Numbers are those of the contract; words are those of the database."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Level":
        return cls[word.upper()]
