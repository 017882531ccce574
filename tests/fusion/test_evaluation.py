"""The evaluation measures what the service computes, on any file of the format."""

import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from bench.science import crema_d, masking
from bench.science.clip_events import Statement, events, fused_emotions
from bench.science.crema_d import LETTERS, Clips, VotesError
from bench.science.evaluation import as_text, called_masking, evaluate
from bench.science.figures import Bins, Resampled
from libs.common.db.database import Database
from services.fusion.fold import Models
from services.fusion.models import SHIPPED, read_document
from services.fusion.vocabulary import KNOWN_EMOTIONS
from tests.fusion.events import apply, table
from tests.fusion.make import MODEL

CONDITIONS = ("voice", "face", "av")
HEADER = "fileName,actor,intended,level," + ",".join(f"{one}_{letter}" for one in CONDITIONS for letter in "ADFHNS")
NAMED = ("intended_accuracy", "panel_agreement", "nll", "brier", "ece", "voice_only_accuracy", "face_only_accuracy")
OF_MASKING = ("false_masking_rate", "synthetic_masking_recall")


def line(number: int, actor: int, intended: str, rng: np.random.Generator) -> str:
    """Raters mostly see what is intended."""
    rates = np.full(6, 0.08)
    rates["ADFHNS".index(intended)] = 0.6
    votes = [str(count) for _ in range(3) for count in rng.multinomial(10, rates)]
    return ",".join([f"{actor}_IEO_X_{number:04}", str(actor), intended, "XX", *votes])


def write_votes(path: Path, actors: int = 5, clips_each: int = 36) -> Path:
    rng = np.random.default_rng(5)
    lines = [
        line(number, 2001 + actor, LETTERS[number % 6], rng) for actor in range(actors) for number in range(clips_each)
    ]
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    return write_votes(tmp_path / "votes.csv")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.science", "crema-d", *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_prints_the_named_figures_with_their_intervals(votes: Path) -> None:
    done = run("--votes", str(votes), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["model_version"], found["weights_checksum"]) == (SHIPPED, read_document(SHIPPED)["checksum"])
    for name in (*NAMED, *OF_MASKING):
        low, high = found["intervals"][name]
        assert low <= high
        assert name == "ece" or low <= found[name] <= high
    assert found["intended_accuracy"] > 0.8
    assert np.sum(found["confusion"]["clips"]) == found["clips"] == 180
    assert sum(one["clips"] for one in found["ece_bins"]) == 180
    assert "intended emotion found" in as_text(found)


def test_cross_validation_refits_without_each_actor(votes: Path) -> None:
    shipped, refitted = evaluate(votes, SHIPPED), evaluate(votes, SHIPPED, cross_validated=True)
    assert refitted["nll"] != shipped["nll"]
    assert refitted["clips"] == shipped["clips"]


def test_a_file_is_a_file_whoever_the_actors_are(tmp_path: Path) -> None:
    """One actor, one emotion, clips that lack votes on the voice, on the face, of the panel, or altogether."""
    rng = np.random.default_rng(6)
    rows = [line(number, 9, "H", rng).split(",") for number in range(5)]
    for row, (first, last) in enumerate([(4, 10), (10, 16), (16, 22), (4, 22)]):
        rows[row][first:last] = ["0"] * (last - first)
    path = tmp_path / "odd.csv"
    path.write_text("\ufeff" + "\r\n".join([HEADER, *(",".join(row) for row in rows)]) + "\r\n")
    found = evaluate(path, SHIPPED)
    assert found["clips_with"] == {"voice": 3, "face": 3, "panel": 3, "missing_audio": 0}
    assert np.sum(found["confusion"]["clips"]) == 4
    assert found["intended_accuracy"] == 1.0
    with pytest.raises(VotesError, match="each of the six emotions"):
        evaluate(path, SHIPPED, cross_validated=True)


def test_the_panel_of_clips_without_sound_is_left_out(votes: Path) -> None:
    clips = crema_d.load(votes)
    wrong = [
        str(name) for name in clips.name[fused_emotions(MODEL, clips).argmax(axis=1) != clips.panel.argmax(axis=1)]
    ]
    votes.with_name("av_missing_audio.txt").write_text("\n".join([*wrong, "not_in_the_file"]))
    found = evaluate(votes, SHIPPED)
    assert found["clips_with"]["missing_audio"] == len(wrong) > 0
    assert found["panel_agreement"] > found["panel_agreement_with_missing_audio"]
    assert found["clips"] == 180


GOOD = "1_IEO_X,1,A,XX" + ",1" * 18


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "columns"),
        (HEADER, "no clip"),
        ("fileName,actor\nx,1", "intended"),
        (f"{HEADER}\n{GOOD},1", "number of fields"),
        (f"{HEADER}\n{GOOD[:-2]}", "number of fields"),
        (f"{HEADER}\n{GOOD}\n{GOOD}", "second clip"),
        (f"{HEADER}\n{GOOD.replace(',1,A', ',x,A')}", "line 2: actor"),
        (f"{HEADER}\n{GOOD.replace(',A,', ',Z,')}", "line 2: intended"),
        (f"{HEADER}\n{GOOD[:-1]}-1", "line 2: av_S"),
        (f"{HEADER}\n{GOOD[:-1]}nan", "line 2: av_S"),
        (f"{HEADER}\n{GOOD[:-1]}many", "line 2: av_S"),
        (f"{HEADER}\n1_IEO_X,1,A,XX{',0' * 18}", "no clip has votes"),
        (f'{HEADER}\n"{GOOD}', "not CSV"),
    ],
)
def test_a_broken_file_is_refused_and_the_place_is_named(content: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(content)
    with pytest.raises(VotesError, match=reason):
        evaluate(path, SHIPPED)


def test_the_command_says_what_is_broken_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_bytes(b"\xff\xfe\x00")
    done = run("--votes", str(path), "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == f"{path}: not UTF-8"
    assert run("--votes", str(tmp_path / "none.csv")).returncode == 1


async def test_the_evaluation_sees_what_the_follower_writes(votes: Path, database: Database, models: Models) -> None:
    """The same events through the whole handler, tables and all: the rows hold the same bits."""
    clips = crema_d.load(votes).where(np.arange(180) < 60)
    statements = [Statement(0.5)] * len(clips)
    told = events(clips, statements=statements)
    await apply(database, models, told)
    rows = {row["chunk_id"]: row for row in await table(database, "fusion_results")}
    ordered = [rows[UUID(int=number)] for number in range(len(clips))]
    written = [[row[f"emotion_{emotion.label}"] for emotion in KNOWN_EMOTIONS] for row in ordered]
    assert written == fused_emotions(models.active, clips).tolist()
    masking_rows = [float(row["dissonance_direction"] == "masking") for row in ordered]
    assert masking_rows == called_masking(models.active, clips, statements).tolist()
    assert 0 < sum(masking_rows) < len(clips)


def test_intervals_draw_actors_not_clips() -> None:
    """Twenty actors who are always right or always wrong: twenty observations, however many clips they have."""
    actor = np.repeat(np.arange(20), 50)
    values = (actor % 2).astype(np.float64)
    found = Resampled(actor).mean(values)
    assert found is not None
    assert found.value == 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 20), abs=0.08)
    assert Resampled(actor).mean(values) == found


def test_the_calibration_error_of_true_probabilities_is_what_chance_gives() -> None:
    rng = np.random.default_rng(3)
    stated = rng.uniform(0.2, 1.0, 2000)
    shares = np.concatenate([stated[:, None], np.repeat((1 - stated[:, None]) / 5, 5, axis=1)], axis=1)
    intended = np.where(rng.random(2000) < stated, 0, 1)
    kept = shares.argmax(axis=1) == 0
    bins = Bins.of(intended[kept], shares[kept])
    assert bins.error < np.percentile(bins.error_if_calibrated(), 99.5)
    overconfident = Bins.of(intended[kept], np.where(shares[kept] > 0.4, shares[kept] ** 0.3, shares[kept]))
    assert overconfident.error > np.percentile(bins.error_if_calibrated(), 99.5)


class TestSyntheticMasking:
    def test_the_committed_set_is_what_the_command_writes(self, tmp_path: Path) -> None:
        assert masking.write_synthetic(tmp_path / "again.csv") >= 300
        assert (tmp_path / "again.csv").read_text() == masking.SYNTHETIC.read_text()

    def test_every_case_is_named_synthetic(self) -> None:
        assert all(str(name).startswith("synthetic_") for name in masking.synthetic_cases().clips.name)

    def test_enough_of_it_is_found_and_the_stronger_the_more(self) -> None:
        cases = masking.synthetic_cases()
        found = called_masking(MODEL, cases.clips, cases.statements)
        by_grade = [found[np.array(cases.grade) == grade.name].mean() for grade in masking.GRADES]
        assert found.mean() >= 0.9
        assert by_grade == sorted(by_grade)

    def test_without_positive_words_none_of_it_is_masking(self) -> None:
        cases = masking.synthetic_cases()
        assert not called_masking(MODEL, cases.clips, [Statement(0.0)] * len(cases.clips)).any()


def test_neutral_sentences_are_measured_as_a_device_does() -> None:
    clips = Clips(
        name=np.array(["1_IEO_ANG_XX", "odd"], np.str_),
        actor=np.array([1, 1]),
        intended=np.array([0, 0]),
        voice=np.zeros((2, 6)),
        face=np.zeros((2, 6)),
        panel=np.zeros((2, 6)),
        missing_audio=np.zeros(2, np.bool_),
    )
    said = masking.neutral_statements(clips)
    assert set(masking.SENTENCES) >= {"IEO", "WSI"}
    assert said["the sentence of the clip"][1] == Statement(0.0)
    assert all(len(statements) == 2 for statements in said.values())
