import re
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from services.identity import api_keys, people
from services.identity.consents import NEVER_SAID, ResearchConsent
from services.identity.passwords import Passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def test_a_password_matches_its_hash_alone() -> None:
    passwords = Passwords(CHEAP)
    password_hash = passwords.hash("correct horse battery")
    assert passwords.matches("correct horse battery", password_hash)
    assert not passwords.matches("correct horse batterz", password_hash)


def test_a_password_matches_however_a_keyboard_composes_it() -> None:
    passwords = Passwords(CHEAP)
    assert passwords.matches("caf\u0065\u0301 au lait noir", passwords.hash("caf\u00e9 au lait noir"))


def test_nobody_has_no_password_and_costs_the_same_work() -> None:
    verified: list[str] = []

    class Recorder(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override] # noqa: A002
            verified.append(str(hash))
            return super().verify(hash, password)

    passwords = Passwords(Recorder(time_cost=1, memory_cost=8, parallelism=1))
    known = passwords.hash("correct horse battery")

    assert not passwords.matches("correct horse battery", None)
    assert passwords.matches("correct horse battery", known)

    parameters = [password_hash.rsplit("$", 2)[0] for password_hash in verified]
    assert len(parameters) == 2
    assert parameters[0] == parameters[1]


def test_anonymous_ids_are_random_and_say_nothing() -> None:
    ids = {people.new_anonymous_id() for _ in range(500)}
    assert len(ids) == 500
    assert all(re.fullmatch(r"p_[a-z2-7]{20}", anonymous_id) for anonymous_id in ids)


@pytest.mark.parametrize("spelling", ["amina@example.org", " Amina@Example.ORG ", "AMINA@EXAMPLE.ORG"])
def test_spellings_of_one_address_are_one(spelling: str) -> None:
    assert people.normalise_email(spelling) == "amina@example.org"


@pytest.mark.parametrize(
    ("name", "known"),
    [("Africa/Nairobi", True), ("UTC", True), ("Africa/Atlantis", False), ("", False), ("../etc/passwd", False)],
)
def test_timezones_are_those_of_the_tz_database(name: str, known: bool) -> None:
    assert people.is_timezone(name) is known


def test_an_api_key_is_found_by_its_hash_and_shown_nowhere_else() -> None:
    key = api_keys.new_api_key()
    assert api_keys.hash_of(key.secret) == key.key_hash
    assert key.secret.startswith(key.prefix)
    assert len(key.prefix) <= 10
    assert key.secret not in repr(key)
    assert api_keys.new_api_key().secret != key.secret


def test_a_clock_that_was_set_back_changes_no_order() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    granted = NEVER_SAID.changed(True, now)
    withdrawn = granted.changed(False, now - timedelta(hours=1))
    assert (granted.change_time, withdrawn) == (now, ResearchConsent(False, now + timedelta.resolution))
