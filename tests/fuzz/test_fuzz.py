"""A short run of the fuzzer, and that it would find something. `make fuzz` looks for longer."""

from pathlib import Path
from random import Random

import pytest

from services.ingest.service import batches
from tests.fuzz import run
from tests.fuzz.cases import Case, Corpus, Person
from tests.fuzz.mutation import mutate, parse, serialise
from tests.fuzz.process import Target

SECONDS = 4.0
SEED = 20_261


async def test_ingest_takes_whatever_is_sent(fresh_dsn: str, tmp_path: Path) -> None:
    report = await run.fuzz(fresh_dsn, tmp_path, SEED, SECONDS)
    assert min(report.inside, report.streams, report.connections, report.honest_batches) > 0


def test_messages_are_mutated_as_trees_and_the_same_seed_repeats_it() -> None:
    corpus = Corpus(Person.new(), Random(1))
    for number in range(1, 50):
        message = corpus.batch(number, Random(number))
        fields = parse(message)
        assert fields
        assert serialise(fields) == message
        assert mutate(message, Random(number)) == mutate(message, Random(number))


def test_a_message_that_breaks_the_way_in_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> bytes:
        raise RuntimeError

    monkeypatch.setattr(batches, "content_digests", broken)
    with pytest.raises(run.FoundError, match="RuntimeError inside"):
        run.look_inside(run.Report(SEED, SECONDS), tmp_path, SECONDS)
    (file,) = tmp_path.glob("*.json")
    case, _ = Case.read(file)
    assert len(case.messages) == 2


@pytest.mark.parametrize(
    "line",
    [
        '{"service":"ingest","event":"call failed unexpectedly","level":"error"}',
        "Traceback (most recent call last):",
        "Task exception was never retrieved",
    ],
)
def test_a_log_that_complains_is_heard(line: str, tmp_path: Path) -> None:
    log = tmp_path / "target.log"
    log.write_text(f'{{"event":"follower reconnects","level":"warning"}}\n{line}\n')
    assert Target.complaints_in(log) == [line]
