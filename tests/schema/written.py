"""Reads docs/schema.md as it is written, and says where it isn't what the documents and the database are."""

import re
from dataclasses import dataclass

from deploy.schema.compare import Comparison, Kind
from deploy.schema.deviations import Deviation
from deploy.schema.pages import SECTIONS, schema_page

CLOSED_LIST = frozenset(Deviation)


@dataclass(frozen=True)
class WrittenRow:
    kind: Kind
    seed: str
    item: str
    home: str
    deviations: frozenset[str]

    @property
    def table(self) -> str:
        """'slice.table' of the home."""
        return ".".join(self.home.split(" ")[0].split(".")[:2])


def read_rows(page: str) -> list[WrittenRow]:
    kinds = {title: kind for kind, (title, _, _) in SECTIONS.items()}
    rows = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, *lines = section.splitlines()
        for line in lines:
            if re.match(r"\| \d{3} \|", line):
                seed, item, home, deviations = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
                rows.append(WrittenRow(kinds[title], seed, item, home, frozenset(filter(None, deviations.split(", ")))))
    return rows


def page_problems(page: str, comparison: Comparison) -> list[str]:
    written = {(row.kind, row.seed, row.item): row for row in read_rows(page)}
    found = {(row.kind, row.seed, row.item): row for row in read_rows(schema_page(comparison))}
    problems = [f"{seed} {item}: has no row" for _, seed, item in found.keys() - written.keys()]
    problems += [f"{seed} {item}: has a row and no home" for _, seed, item in written.keys() - found.keys()]
    for key in written.keys() & found.keys():
        name = f"{key[1]} {key[2]}"
        told, needed = written[key].deviations, found[key].deviations
        problems += [f"{name}: {deviation} is outside the closed list" for deviation in told - CLOSED_LIST]
        problems += [f"{name}: {deviation} isn't needed" for deviation in (told & CLOSED_LIST) - needed]
        problems += [f"{name}: {deviation} isn't told" for deviation in needed - told]
        if written[key].home != found[key].home:
            problems.append(f"{name}: lives in {found[key].home}")
    if not problems and page != schema_page(comparison):
        problems.append("the page isn't what `make docs` writes")
    return sorted(problems)
