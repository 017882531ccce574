from services.patterns.assessment import Verdict
from services.patterns.levels import Level
from services.patterns.method import current_method
from services.patterns.pattern import CurrentState, Pattern, Trajectory, Trigger, pattern_of
from services.patterns.session import Session
from services.patterns.summary import CueCounts
from tests.patterns.make import session

METHOD = current_method()


def pattern(sessions: list[Session], level: Level = Level.LOW) -> Pattern:
    return pattern_of(sessions, Verdict(level, 0.2, ()), METHOD)


def test_too_few_sessions_say_no_direction() -> None:
    found = pattern([session(number, number / 10) for number in range(4)])
    assert (found.trajectory, found.trajectory_confidence) == (Trajectory.INSUFFICIENT_DATA, 0.0)
    assert found.sessions_analyzed == 4


def test_directions() -> None:
    assert pattern([session(n, 0.1 + n / 20) for n in range(8)]).trajectory is Trajectory.DECLINING
    assert pattern([session(n, 0.8 - n / 20) for n in range(8)]).trajectory is Trajectory.IMPROVING
    assert pattern([session(n, 0.2) for n in range(8)]).trajectory is Trajectory.STABLE
    assert pattern([session(n, 0.1 + 0.4 * (n % 2)) for n in range(8)]).trajectory is Trajectory.VOLATILE


def test_states() -> None:
    rising, falling = [[session(n, 0.5 + sign * n / 20) for n in range(8)] for sign in (1, -1)]
    assert pattern(rising, Level.CRITICAL).state is CurrentState.CRISIS
    assert pattern(falling, Level.HIGH).state is CurrentState.STRUGGLING
    assert pattern(rising, Level.MEDIUM).state is CurrentState.STRUGGLING
    assert pattern(falling, Level.MEDIUM).state is CurrentState.IMPROVING
    assert pattern([session(1)], Level.MEDIUM).state is CurrentState.MANAGING
    assert pattern([session(1)]).state is CurrentState.STABLE


def test_what_nothing_is_known_of_is_left_out() -> None:
    found = pattern([session(1)])
    assert (found.primary_language, found.code_switching, found.deflection_frequency) == ("", None, None)
    assert (found.masking_share, found.masking_strength) == (None, None)
    assert (found.primary_emotions, found.triggers, found.deflection_phrases) == ((), (), ())


def test_emotions_weigh_each_session_the_same() -> None:
    found = pattern([session(1, emotions={"sad": 1.0}, chunks=90), session(2, emotions={"happy": 0.9, "sad": 0.1})])
    assert found.emotions == {"happy": 0.45, "sad": 0.55}
    assert found.primary_emotions == ("sad", "happy")


def test_cues_add_up_over_sessions() -> None:
    one = CueCounts(
        with_words=4,
        deflecting=1,
        code_switching=1,
        languages={"en": 3, "sw": 1},
        deflections={"im_fine": 1},
        distressed_topics={"work": 2},
        distressed_scores={"work": 1.25},
    )
    two = CueCounts(
        with_words=4,
        deflecting=3,
        languages={"en": 1, "sw": 3},
        deflections={"niko_sawa": 3},
        distressed_topics={"family": 1, "work": 1},
        distressed_scores={"family": 0.9, "work": 0.25},
    )
    found = pattern([session(1, cues=one), session(2, cues=two)])
    assert found.primary_language == "en"
    assert found.code_switching is True
    assert (found.deflection_phrases, found.deflection_frequency) == (("niko_sawa", "im_fine"), 0.5)
    assert found.triggers == (Trigger("work", 3, 0.5), Trigger("family", 1, 0.9))
