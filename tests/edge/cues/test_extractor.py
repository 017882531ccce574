"""What the extractor finds, and what it promises of any text."""

import re
import tomllib
from pathlib import Path
from typing import Any
from unicodedata import combining, normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quietus.common.v1.types_pb2 import RISK_LEVEL_LOW
from quietus.ingest.v1.predictions_pb2 import TextCues as ContractCues
from quietus.ingest.v1.predictions_pb2 import TextPrediction
from quietus_edge import bounds, messages
from quietus_edge.cues import extract, lexicon
from quietus_edge.cues.language import SWAHILI_SHAPE
from quietus_edge.cues.lexicon import FILES, make_lexicon
from quietus_edge.cues.phrases import SPAN_MAX_WORDS, Phrases
from quietus_edge.cues.words import MARKS_MAX, TEXT_MAX_CHARACTERS, stream_safe, words_of

SENTENCES = tomllib.loads(Path(__file__).with_name("sentences.toml").read_text())

# Words of the lists among anything at all, so that many texts say something.
known_words = st.sampled_from(sorted(lexicon().vocabulary))
texts = st.text() | st.lists(known_words | st.text(max_size=5), max_size=40).map(" ".join)


@given(texts)
@example("")
@example("\0")
@example("\u202e\u0301\ud800")
@example("'''''")
@example("I'll\u2019re")
def test_any_text_gives_cues_that_the_contract_takes(text: str) -> None:
    found = extract(text)
    message = messages.cues(found.cues)
    prediction = TextPrediction(risk_level=RISK_LEVEL_LOW, model_version="1", cues=message, valence=found.valence)
    bounds.check(prediction, "text")
    assert len(set(message.crisis_signals)) == len(message.crisis_signals)
    assert ContractCues.FromString(message.SerializeToString()) == message


@given(texts)
def test_identifiers_come_from_the_lists_and_the_same_text_gives_the_same(text: str) -> None:
    found = extract(text)
    for kind, names in lexicon().identifiers.items():
        assert set(getattr(found.cues, kind)) <= set(names)
    assert found.cues.language in {"", "en", "sw", "sw-x-sheng"}
    assert extract(text) == found


class Counting(Phrases):
    """Counts its steps, and the places that it is at in the widest of them."""

    steps = widest = 0

    def _after(self, active: Any, word: str) -> Any:
        self.steps += 1
        after = super()._after(active, word)
        self.widest = max(self.widest, len(after))
        return after


@given(st.lists(st.sampled_from(["so", "much", "just", "pain", "of"]) | known_words, max_size=60))
def test_steps_are_bounded_by_the_words_however_a_text_is_made(words: list[str]) -> None:
    phrases = Counting(frozenset(("so", "just")))
    phrases.add("topics", "pain", ["{so|just|so so|just so|} {so|just|} {so|} {much|} {just|so|} pain"], {})
    matches = phrases.find(words)
    assert phrases.steps <= len(words) * (SPAN_MAX_WORDS - 1)
    assert phrases.widest <= 12
    assert all(0 < match.end - match.start <= SPAN_MAX_WORDS for match in matches + lexicon().phrases.find(words))


def test_a_long_text_is_read_up_to_its_limit() -> None:
    filler = "na " * 21_000
    assert extract(filler + "I want to die").cues.crisis_signals == ("active_ideation",)
    assert extract("x" * TEXT_MAX_CHARACTERS + " I want to die").cues.crisis_signals == ()
    assert len(words_of("a " * 1_000_000).words) == TEXT_MAX_CHARACTERS // 2


def test_one_character_that_stands_for_many_is_bounded_too() -> None:
    assert len("".join(words_of("\ufdfa" * TEXT_MAX_CHARACTERS).words)) <= TEXT_MAX_CHARACTERS


@pytest.mark.parametrize("word", ["ae" * 32_000 + "9", "ou" * 30_000 + "x", "kwa" * 20_000 + "bcdf"])
def test_a_word_without_end_is_done_with(word: str) -> None:
    """However many ways there are to cut it into syllables."""
    assert extract(word).cues.language == ""


def test_a_text_that_is_all_idioms_and_danger_is_done_with() -> None:
    danger = "kill time and kill myself, " * 2_400
    assert extract(danger).cues.crisis_signals == extract("kill time and kill myself,").cues.crisis_signals != ()


@given(st.text(alphabet="aeikwm9", max_size=12))
def test_a_swahili_shape_is_syllables_however_they_are_cut(word: str) -> None:
    syllables = re.compile(r"(?:[kwm]{0,3}[aei]{1,2}){2,}")
    assert (SWAHILI_SHAPE.fullmatch(word) is None) == (syllables.fullmatch(word) is None)


@given(st.text(alphabet="a\u00e9\u0301\u0316\u0344\u0f73\u3099\uff9e", max_size=200))
@example("a" + "\u0301\u0316" * 30_000)
@example("\uff9e\u0301" * 30_000)
def test_marks_on_one_letter_are_bounded(text: str) -> None:
    marks = [
        len(run) for run in re.findall(r"[\u0300-\u036f\u0f71-\u0f74\u3099]+", normalize("NFKD", stream_safe(text)))
    ]
    assert max(marks, default=0) <= 2 * MARKS_MAX + 1
    if max((len(run) for run in re.findall(r"[^a\u00e9]+", text)), default=0) <= MARKS_MAX:
        assert stream_safe(text) == text


def test_no_other_letter_becomes_marks() -> None:
    letters = [chr(code) for code in range(0x20000) if not combining(chr(code))]
    become_marks = {letter for letter in letters if combining(normalize("NFKD", letter)[0])}
    assert {letter for letter in become_marks if stream_safe(letter * 40) == letter * 40} == set()


@pytest.mark.parametrize("language", ["en", "sw", "sw-x-sheng"])
def test_short_sentences_have_their_language(language: str) -> None:
    found = [extract(sentence).cues.language for sentence in SENTENCES[language]]
    assert found.count(language) >= 0.95 * len(found)


def test_mixed_languages_are_seen() -> None:
    assert sum(extract(sentence).cues.code_switching for sentence in SENTENCES["mixed"]) >= 8
    alone = [sentence for language in ("en", "sw") for sentence in SENTENCES[language]]
    assert sum(extract(sentence).cues.code_switching for sentence in alone) <= 1


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("I'm fine, it was a long day.", "deflections", ("im_fine",)),
        ("I\u2019M REALLY FINE!!!", "deflections", ("im_fine",)),
        ("It's nothing, really.", "deflections", ("its_nothing",)),
        ("Niko sawa, usijali", "deflections", ("niko_sawa", "dont_worry")),
        ("niko tu fiti msee", "deflections", ("niko_poa",)),
        ("hakuna noma", "deflections", ("hakuna_shida",)),
        ("I'm not fine", "deflections", ()),
        ("I'm fine with that", "deflections", ()),
        ("My mother lost my school fees", "topics", ("family", "school", "money")),
        ("mdosi alinifokea kazini", "topics", ("work",)),
        ("We prayed, then I went for a walk", "coping", ("prayer", "walking")),
        ("I can't pray anymore", "coping", ()),
        ("nilitembea na kusikiliza muziki", "coping", ("walking", "music")),
    ],
)
def test_phrases_are_found_as_they_are_said(text: str, kind: str, names: tuple[str, ...]) -> None:
    assert getattr(extract(text).cues, kind) == names


def test_no_more_identifiers_than_the_contract_takes() -> None:
    everything = "work family school money doctor sleep husband friends lonely funeral police church gym movie rent"
    assert len(extract(everything).cues.topics) == 8


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("What a wonderful day, I feel happy and calm", 1),
        ("I am not happy at all", -1),
        ("It was nice, but I feel miserable", -1),
        ("I can't take this anymore, but thank you", -1),
        ("Nimefurahi sana leo", 1),
        ("Sikufurahi hata kidogo", -1),
        ("Nina huzuni na hofu", -1),
        ("\U0001f62d\U0001f62d\U0001f62d", -1),
    ],
)
def test_valence_has_a_sign(text: str, sign: int) -> None:
    valence = extract(text).valence
    assert valence is not None
    assert valence * sign > 0.1


def test_valence_is_unset_where_nothing_says_a_mood() -> None:
    assert extract("").valence is None
    assert extract("The bus was at the corner").valence is None
    assert extract("Je suis content et triste").valence is None
    assert extract("It's nothing").valence == 0.0


def test_shares_are_of_words() -> None:
    cues = extract("I never told my mother").cues
    assert (cues.first_person, cues.negation, cues.absolutes) == (0.4, 0.2, 0.2)
    assert extract("Ninahisi sitaki kula").cues.first_person == pytest.approx(0.6667)
    assert extract("...").cues.first_person is None


def test_the_version_changes_with_the_lists() -> None:
    folder = Path(extract.__code__.co_filename).parent / "data"
    data = {name: (folder / name).read_bytes() for name in FILES}
    assert make_lexicon(data).version == lexicon().version == extract("").cues.extractor_version
    changed = data | {"crisis.toml": data["crisis.toml"].replace(b"hopeless", b"hope-less", 1)}
    assert make_lexicon(changed).version != lexicon().version


@pytest.mark.parametrize("phrase", ["", "{a|}", "a {b|{c}}", "a {b", "<unknown>"])
def test_a_phrase_that_cant_be_read_is_refused(phrase: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        Phrases(frozenset()).add("topics", "work", [phrase], {})
