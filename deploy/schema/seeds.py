"""Reads the seed documents: what each demands of a database, in the document's own words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

SEED_NUMBERS = ("000", "001", "002", "003", "004")


@dataclass(frozen=True)
class ForeignKey:
    table: str
    on_delete: str  # CASCADE, SET NULL or NO ACTION


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    nullable: bool
    default: str  # empty when there is none
    foreign_key: ForeignKey | None


@dataclass(frozen=True)
class Index:
    columns: tuple[str, ...]  # with " DESC" where the document says so
    predicate: str  # empty when the index is whole
    unique: bool


@dataclass(frozen=True)
class Table:
    seed: str
    name: str
    columns: tuple[Column, ...]
    keys: tuple[tuple[str, ...], ...]  # primary and unique
    checks: tuple[str, ...]  # in parentheses
    indexes: tuple[Index, ...]


def read_seeds(folder: Path) -> list[Table]:
    """All tables of all documents, in the order of the documents. Raises FileNotFoundError when one is missing."""
    tables: list[Table] = []
    for seed in SEED_NUMBERS:
        path = next(folder.glob(f"{seed}_*.txt"), None)
        if path is None:
            raise FileNotFoundError(f"no document {seed} in {folder}")
        text = path.read_text()
        tables += _sql_tables(seed, text) if "CREATE TABLE" in text else _listed_tables(seed, text)
    return tables


def _listed_tables(seed: str, text: str) -> Iterator[Table]:
    """Tables written as headings with lists of columns."""
    indexes = re.findall(r"^\d+\. (\w+)\(([^)]*)\)$", text, re.MULTILINE)
    for name, body in re.findall(r"^### (\w+)\n((?:- .*\n?)+)", text, re.MULTILINE):
        definitions = [line[2:] for line in body.strip().splitlines()]
        yield _table(seed, name, definitions, [Index(_columns(c), "", False) for table, c in indexes if table == name])


def _sql_tables(seed: str, text: str) -> Iterator[Table]:
    """Tables written as SQL. Example partitions are left out: partitioning is ours to choose."""
    sql = re.sub(r"--[^\n]*", "", text)
    indexes = [
        (table, Index(_columns(columns), _squeeze(where), bool(unique)))
        for unique, table, columns, where in re.findall(
            r"CREATE (UNIQUE )?INDEX \w+ ON (\w+)\s*(?:USING \w+ )?\(([^)]*)\)[^;]*?(?:WHERE ([^;]*))?;", sql
        )
    ]
    for name, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", sql, re.DOTALL):
        yield _table(seed, name, _split_top_level(body), [index for table, index in indexes if table == name])


def _table(seed: str, name: str, definitions: list[str], indexes: list[Index]) -> Table:
    columns: list[Column] = []
    keys: list[tuple[str, ...]] = []
    checks: list[str] = []
    foreign_keys: dict[str, ForeignKey | None] = {}
    for definition in map(_squeeze, definitions):
        if key := re.match(r"(?:UNIQUE|PRIMARY KEY) ?\(([^)]*)\)", definition):
            keys.append(_columns(key[1]))
        elif foreign := re.match(r"FOREIGN KEY \((\w+)\) (REFERENCES .*)", definition):
            foreign_keys[foreign[1]] = _foreign_key(foreign[2])
        elif constraint := re.match(r"CONSTRAINT \w+ CHECK (.*)", definition):
            checks.append(constraint[1])
        else:
            columns.append(_column(definition))
            checks += _column_checks(definition)
            if re.search(r"\b(UNIQUE|PRIMARY KEY)\b", definition):
                keys.append((columns[-1].name,))
    bound = tuple(replace(c, foreign_key=c.foreign_key or foreign_keys.get(c.name)) for c in columns)
    return Table(seed, name, bound, tuple(keys), tuple(checks), tuple(indexes))


def _column(definition: str) -> Column:
    plain = re.sub(r"\(`.*\)|CHECK \(.*\)", "", definition)
    match = re.match(r"(\w+) (\w+(?:\([\d, ]+\))?(?:\[\])?)(.*)", plain)
    assert match is not None, definition
    name, kind, rest = match.groups()
    default = re.search(r"DEFAULT (.+?)(?= NOT NULL| NULL| UNIQUE| REFERENCES|$)", rest)
    required = "NOT NULL" in rest or "PRIMARY KEY" in rest or kind in {"SERIAL", "BIGSERIAL"}
    return Column(name, kind, not required, default[1].strip() if default else "", _foreign_key(rest))


def _column_checks(definition: str) -> list[str]:
    """Those written as CHECK, and a list of values in back quotes."""
    listed = re.search(r"\((`\w+`(?:, `\w+`)*)\)", definition)
    values = [f"({definition.split(maxsplit=1)[0]} IN ({listed[1].replace('`', chr(39))}))"] if listed else []
    return re.findall(r"CHECK (\(.*\))", definition) + values


def _foreign_key(text: str) -> ForeignKey | None:
    match = re.search(r"REFERENCES (\w+) ?\(\w+\)(?: ON DELETE (CASCADE|SET NULL))?", text)
    return ForeignKey(match[1], match[2] or "NO ACTION") if match else None


def _columns(text: str) -> tuple[str, ...]:
    """Column names without operator classes; ASC is the default and left out."""
    return tuple(re.sub(r" (ASC|vector_cosine_ops)$", "", _squeeze(part)) for part in text.split(","))


def _squeeze(text: str) -> str:
    """On one line, without spaces inside parentheses."""
    return re.sub(r"(?<=\() | (?=\))", "", re.sub(r"\s+", " ", text)).strip()


def _split_top_level(body: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for character in body:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part for part in [*parts, current] if part.strip()]
