"""Two records have one digest exactly when all their fields are the same."""

from hypothesis import given
from hypothesis import strategies as some

from services.ingest.digest import content_digest, score_part
from services.ingest.sealing import Words
from services.ingest.vocabulary import TranscriptState

PARTS = some.lists(some.none() | some.integers() | some.text(max_size=4) | some.binary(max_size=4), max_size=4)


@given(PARTS, PARTS)
def test_different_parts_differ(first: list, second: list) -> None:
    assert (content_digest(*first) == content_digest(*second)) == (first == second)


def test_bounds_between_parts_count() -> None:
    assert content_digest("ab", "c") != content_digest("a", "bc")
    assert content_digest("1") != content_digest(1) != content_digest(b"1")
    assert content_digest(None) != content_digest("None") != content_digest()


def test_a_scores_part_is_what_is_kept() -> None:
    assert score_part(0.12341) == score_part(0.1234) == 1234
    assert score_part(1.0) == 10_000


@given(some.text(), some.text())
def test_plain_words_leave_no_trace_in_a_digest(first: str, second: str) -> None:
    assert Words(plain=first).digest_parts() == Words(plain=second).digest_parts()


def test_sealed_words_and_their_absence_are_content() -> None:
    sent = [
        Words(sealed=b"one"),
        Words(sealed=b"two"),
        Words(plain=""),
        Words(state=TranscriptState.NOT_KEPT),
        Words(state=TranscriptState.NO_KEY),
    ]
    assert len({content_digest(*words.digest_parts()) for words in sent}) == len(sent)
    assert Words().digest_parts() == Words(state=TranscriptState.NOT_KEPT).digest_parts()
    assert Words(sealed=b"one", state=TranscriptState.SEALED).digest_parts() == sent[0].digest_parts()
