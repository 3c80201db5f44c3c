"""Passwords: which may be one, how they are hashed and compared, and what happens when too many come at once."""

import asyncio
import threading

import argon2
import pytest

from loadbell.accounts.passwords import check_password, make_password
from loadbell.domain.errors import Invalid, RateLimited
from tests.support.hashing import hashing


@pytest.mark.parametrize("good", ["ten chars.", "x" * 1000, "密码密码密码密码密码"])
def test_a_password_may_be_of_any_text(good: str) -> None:
    """From 10 to 1,000 characters of any script."""
    check_password(good)


@pytest.mark.parametrize("bad", ["", "sentinel.", "sentinel" * 126, "sentinel\x00..", "sentinel\udcff.."])
def test_a_password_that_cannot_be_kept_is_refused_unseen(bad: str) -> None:
    """Too short, too long, or not storable text: the field is named, the password not shown."""
    with pytest.raises(Invalid) as refused:
        check_password(bad, "new_password")

    assert ["new_password"] == [error.field for error in refused.value.errors]
    assert "sentinel" not in str(refused.value)


def test_passwords_are_hashed_with_salt() -> None:
    """argon2id, the same password twice is two hashes, and each matches that password alone."""

    async def scenario() -> None:
        with hashing() as passwords:
            first, second = await passwords.hash("correct horse"), await passwords.hash("correct horse")

            assert first.startswith("$argon2id$")
            assert first != second
            assert await passwords.matches(first, "correct horse")
            assert not await passwords.matches(first, "correct house")
            assert not await passwords.matches(first, "correct\udcff horse")

    asyncio.run(scenario())


def test_nobody_has_a_hash_of_the_usual_cost() -> None:
    """What an attempt for an unknown person is compared with costs as much as a real hash, and matches nothing."""

    async def scenario() -> None:
        with hashing() as passwords:
            nobodys = argon2.extract_parameters(passwords._nobodys_hash)
            real = argon2.extract_parameters(await passwords.hash("correct horse"))

            assert real == nobodys
            assert not await passwords.matches(None, "correct horse")
            assert not await passwords.matches("-", "correct horse")

    asyncio.run(scenario())


def test_hashes_of_former_parameters_are_known() -> None:
    """So that they can be renewed when their users sign in."""
    with hashing() as passwords:
        assert passwords.is_outdated(argon2.PasswordHasher(time_cost=1, memory_cost=1024).hash("correct horse"))
        assert not passwords.is_outdated(argon2.PasswordHasher().hash("correct horse"))


def test_the_line_of_waiting_people_is_bounded() -> None:
    """Of 100 at once those beyond the line are sent away; the others are served, and then there is room again."""

    async def scenario() -> None:
        with hashing(argon2.PasswordHasher(time_cost=1, memory_cost=1024)) as passwords:
            go_on = threading.Event()
            for _ in range(2):
                passwords._threads.submit(go_on.wait)
            people = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(100)]
            sent_away, waiting = await asyncio.wait(people, return_when=asyncio.FIRST_EXCEPTION)
            go_on.set()

            assert (58, 42) == (len(sent_away), len(waiting))
            assert all(isinstance(one.exception(), RateLimited) for one in sent_away)
            assert 42 == len(await asyncio.gather(*waiting))
            assert (await passwords.hash("correct horse")).startswith("$argon2id$")

    asyncio.run(scenario())


def test_a_made_password_is_long_and_plain() -> None:
    """24 letters and digits that can be read off a screen."""
    password = make_password(lambda count: bytes(range(count)))

    assert 24 == len(password)
    assert password.isalnum()
    assert password == password.lower()
