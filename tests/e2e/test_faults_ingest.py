"""Whatever happens, each acknowledged prediction is stored once, as it was sent, and told once, in order."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e import broken, checker
from tests.e2e.faults import FAULTS, ingest_is_killed, nothing_happens, the_disk_is_full
from tests.e2e.snapshot import Snapshot
from tests.e2e.stage import SEED, Fault, Stage, Strike, open_stage

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("name", FAULTS)
async def test_nothing_is_lost_doubled_or_told_out_of_order_when(stage: Stage, name: str) -> None:
    if name == the_disk_is_full.__name__ and not stage.disk_is_small:
        pytest.skip("NO FULL DISK HERE: this process may not mount; files_can_not_grow takes no such right")
    print(f"QUIETUS_TEST_SEED={SEED}")  # noqa: T201 - shown when the test fails
    played = await stage.play(FAULTS[name], SEED)
    assert not played.violations, checker.report(played.violations)
    assert played.acknowledged > 1000
    assert not stage.suite.died_of_their_own()


@contextmanager
def broken_in(way: str, how: Path) -> Iterator[None]:
    how.write_text(way)
    yield
    how.write_text("")


@pytest.fixture(scope="module")
def how(workspace: Path) -> Path:
    """Names the way in which ingest is broken."""
    file = workspace / "how"
    file.write_text("")
    return file


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def broken_stage(snapshot: Snapshot, how: Path) -> AsyncIterator[Stage]:
    async with open_stage(snapshot, "broken", SEED, {"ingest": f"tests.e2e.broken_ingest {how}"}) as stage:
        yield stage


@pytest.mark.parametrize(
    ("way", "strike", "found"),
    [
        ("", nothing_happens, set()),
        (broken.STORES_TWICE, nothing_happens, {("ingest.vision_predictions", "stored"), ("feed", "events")}),
        (broken.STORES_SOMETHING_ELSE, nothing_happens, {("ingest.vision_predictions", "stored")}),
        (broken.TELLS_TWICE, nothing_happens, {("feed", "events"), ("feed", "order of batches")}),
        (broken.TELLS_TOO_LITTLE, nothing_happens, {("feed", "events")}),
        (broken.TELLS_OUT_OF_ORDER, nothing_happens, {("feed", "order of batches")}),
        (broken.ACKNOWLEDGES_FIRST, ingest_is_killed, {(f"ingest.{m}_predictions", "rows") for m in ("audio", "text")}),
    ],
)
async def test_a_broken_build_is_found(
    broken_stage: Stage, how: Path, way: str, strike: Strike, found: set[tuple[str, str]]
) -> None:
    """The checks above are worth something."""
    with broken_in(way, how):
        played = await broken_stage.play(Fault(strike), SEED)
    kinds = {(difference.table, difference.column) for difference in played.violations}
    assert found <= kinds, checker.report(played.violations)
    assert way or not kinds
