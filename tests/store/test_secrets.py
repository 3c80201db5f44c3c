"""Secrets at rest: sealed in every row and file, opened by the right keys only."""

import asyncio
import base64
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadbell.accounts.tokens import create_token
from loadbell.domain.channels import Subscription
from loadbell.domain.orgs import Scope
from loadbell.notify import deliveries
from loadbell.notify.channels import create_channel, get_channel, update_channel
from loadbell.notify.worker.capacity import Room
from loadbell.notify.worker.fetch import lease_due
from loadbell.settings import load_settings
from loadbell.store.channels import get_channel as stored_channel
from loadbell.store.engine.migrate import upgrade_postgresql
from loadbell.store.engine.open import KEY_FILE, open_database
from loadbell.store.engine.problems import WrongState
from loadbell.store.engine.secrets import SecretBox, key_in_file
from loadbell.store.engine.statements import Statement
from loadbell.store.idempotency import claim_key, save_response
from tests.support.stores import KEY, NOON, Site, as_dict, open_store, settle, sqlite_path

SENTINEL = "s3ntinel"
OTHER_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
SECRET_FORM: dict[str, Any] = {
    "url": f"https://hooks.example.org/{SENTINEL}-path?token={SENTINEL}-query",
    "headers": {"Authorization": f"Bearer {SENTINEL}-header"},
}
STORED_FORM = {**SECRET_FORM, "username": "", "password": "", "bearer_token": ""}


async def _use_secrets(site: Site) -> list[str]:
    """Puts a secret into every place that takes one; gives those that loadbell made itself."""
    channel, signing = await site.do(
        create_channel,
        site.owner,
        site.organization_id,
        kind="webhook",
        name="receiver",
        settings=SECRET_FORM,
        subscription=Subscription(),
        enabled=True,
    )
    await site.do(update_channel, site.owner, channel.id, settings={"url": SECRET_FORM["url"] + "2"})
    await site.do(deliveries.test_form, site.owner, site.organization_id, kind="webhook", settings=SECRET_FORM)
    _, token = await site.do(create_token, site.owner, name="ci", scope=Scope.REPORT, trigger=None, expires_at=None)
    await site.do(claim_key, site.owner.token_id, "key", "hash")
    await site.do(save_response, site.owner.token_id, "key", f'{{"signing_secret":"{SENTINEL}-answer"}}')
    assert signing is not None
    return [signing, signing.removeprefix("whsec_"), token, SENTINEL]


async def _every_value(site: Site) -> str:
    """All that lies in the database, as text."""
    sqlite = site.database.dialect == "sqlite"
    names = await site.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if sqlite
        else "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
    )
    found = []
    for name in names:
        rows = await site.rows(f"SELECT * FROM {name['name']}")
        found += [repr(as_dict(row)) for row in rows]
    return "\n".join(found)


def test_no_secret_lies_in_clear_in_any_row(store_url: str) -> None:
    """Channel URLs and headers, signing secrets, forms under test, tokens and kept answers are sealed or hashed."""

    async def scenario() -> None:
        async with open_store(store_url) as database:
            site = await settle(database)
            secrets = await _use_secrets(site)
            values = await _every_value(site)

            assert "channel.created" in values
            assert [] == [secret for secret in secrets if secret in values]

    asyncio.run(scenario())


def test_no_secret_lies_in_clear_in_the_file(sqlite_store: str) -> None:
    """Neither the database file nor its log holds a secret, not even in pages that were freed."""

    async def scenario() -> list[str]:
        async with open_store(sqlite_store) as database:
            site = await settle(database)
            secrets = await _use_secrets(site)
            while_open = _bytes_of(sqlite_store)
        data = while_open + _bytes_of(sqlite_store)
        assert b"hooks" not in data.replace("https://hooks.example.org/…".encode(), b""), "masked, in the audit log"
        return [secret for secret in secrets if secret.encode() in data]

    assert [] == asyncio.run(scenario())


def _bytes_of(url: str) -> bytes:
    path = sqlite_path(url)
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def test_a_form_under_test_is_forgotten_when_it_is_called_off(store_url: str) -> None:
    """The sealed settings of an unsaved form don't outlive its Test Hook."""

    async def scenario() -> None:
        async with open_store(store_url) as database:
            site = await settle(database)
            delivery = await site.do(
                deliveries.test_form, site.owner, site.organization_id, kind="webhook", settings=SECRET_FORM
            )
            assert [True] == [row["form"] is not None for row in await site.rows("SELECT form FROM outbox")]
            await site.do(deliveries.cancel, site.owner, delivery)
            assert [] == [row["form"] for row in await site.rows("SELECT form FROM outbox")]

    asyncio.run(scenario())


def test_what_is_sealed_comes_back(store_url: str) -> None:
    """Settings are whole again for those who may use them."""

    async def scenario() -> None:
        async with open_store(store_url) as database:
            site = await settle(database)
            channel = await site.channel(settings=SECRET_FORM)
            again = await site.do(get_channel, site.owner, channel.id)

            assert again.settings == STORED_FORM
            assert SENTINEL not in repr(again)

    asyncio.run(scenario())


def _settings(url: str, keys: str, data_dir: Path) -> Any:
    return load_settings(
        {"LOADBELL_DATABASE_URL": url, "LOADBELL_SECRET_KEY": keys, "LOADBELL_DATA_DIR": str(data_dir)}
    )


def test_another_key_refuses_to_start(store_url: str, tmp_path: Path) -> None:
    """A database that was set up with another key is not opened; the message shows neither key."""
    asyncio.run(_open_and_close(_settings(store_url, KEY, tmp_path)))
    with pytest.raises(WrongState, match="set up with another key") as refused:
        asyncio.run(_open_and_close(_settings(store_url, OTHER_KEY, tmp_path)))

    assert KEY not in str(refused.value)
    assert OTHER_KEY not in str(refused.value)
    asyncio.run(_open_and_close(_settings(store_url, KEY, tmp_path)))


async def _open_and_close(settings: Any) -> None:
    database = await open_database(settings)
    await database.close()


def test_postgresql_needs_a_key(postgres_url: str, tmp_path: Path) -> None:
    """Without one it does not start, and says how to make one."""
    asyncio.run(upgrade_postgresql(postgres_url))
    with pytest.raises(WrongState, match=r"LOADBELL_SECRET_KEY: required.*python3 -c"):
        asyncio.run(_open_and_close(_settings(postgres_url, "", tmp_path)))


def test_keys_are_rotated_by_putting_the_new_one_first(store_url: str, tmp_path: Path) -> None:
    """With new and old key both old and new secrets open, and what is written now needs the new one only."""

    async def scenario() -> None:
        async with open_store(store_url) as database:
            site = await settle(database)
            old = await site.channel(settings=SECRET_FORM)
        async with open_store(store_url, (OTHER_KEY, KEY)) as database:
            site.database = database
            assert STORED_FORM == (await site.do(get_channel, site.owner, old.id)).settings
            new = await site.channel(settings=SECRET_FORM)
        async with open_store(store_url, (OTHER_KEY,)) as database:
            site.database = database
            assert STORED_FORM == (await site.do(get_channel, site.owner, new.id)).settings
            with pytest.raises(WrongState, match="LOADBELL_SECRET_KEY"):
                await site.do(stored_channel, site.organization_id, old.id)

    asyncio.run(scenario())
    asyncio.run(_open_and_close(_settings(store_url, f"{OTHER_KEY},{KEY}", tmp_path)))


def test_a_channel_whose_key_is_lost_holds_up_no_other(store_url: str) -> None:
    """Its deliveries are leased without settings, to fail as such; those of other channels go out."""

    async def scenario() -> None:
        async with open_store(store_url) as database:
            site = await settle(database)
            lost = await site.channel()
        async with open_store(store_url, (OTHER_KEY,)) as database:
            site.database = database
            channel = await site.channel("http://127.0.0.1:9/kept")
            await site.run()
            lease_result = await site.do(lease_due, is_retry=False, room=Room(10, 4, {}), owner=1, until=NOON + 1)

            assert channel.settings["url"] == "http://127.0.0.1:9/kept"
            assert {lost.id: {}, channel.id: channel.settings} == {
                item.channel_key: item.settings for item in lease_result.leased
            }

    asyncio.run(scenario())


def test_sealing_the_same_twice_looks_different() -> None:
    """Equal secrets can't be told by looking at the rows."""
    box = SecretBox([KEY])

    assert box.seal("same") != box.seal("same")
    assert "same" == box.unseal(box.seal("same"))


def test_what_is_derived_is_the_same_in_every_process_and_nowhere_else() -> None:
    """It depends on the first key and on what it is for, so that one such value tells nothing of another."""
    derived = SecretBox([KEY]).derive("this")

    assert SecretBox([KEY, OTHER_KEY]).derive("this") == derived
    assert SecretBox([KEY]).derive("that") != derived
    assert SecretBox([OTHER_KEY, KEY]).derive("this") != derived


@pytest.mark.parametrize("key", ["", "short", "not base64 at all!", KEY[:-4], f"{KEY[:-1]}A="])
def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    """The message says what a key is and how to make one."""
    with pytest.raises(WrongState, match="32 bytes") as refused:
        SecretBox([KEY, key])

    assert not key or key not in str(refused.value)


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600, and the same key ever after."""
    path = tmp_path / "new" / KEY_FILE
    first = key_in_file(path)

    assert first == key_in_file(path)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 32 == len(base64.urlsafe_b64decode(first))


def test_a_key_file_that_could_not_be_written_is_not_left_empty(tmp_path: Path) -> None:
    """A disk that was full at the first start costs nothing but that start."""
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        pytest.skip("needs a process that may lift its file size limit again")
    program = (
        "import resource, signal, sys, pathlib\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from loadbell.store.engine.secrets import key_in_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "key_in_file(pathlib.Path(sys.argv[1]))\n"
    )
    path = tmp_path / KEY_FILE
    process = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)

    assert "WrongState" in process.stderr
    assert str(path) in process.stderr
    SecretBox([key_in_file(path)])


def test_opening_keeps_the_key_beside_the_data(tmp_path: Path) -> None:
    """Without a setting SQLite makes its key file in the data folder, and without that file it does not start."""
    settings = load_settings({"LOADBELL_DATA_DIR": str(tmp_path)})
    asyncio.run(_open_and_close(settings))
    asyncio.run(_open_and_close(settings))
    (tmp_path / KEY_FILE).unlink()

    with pytest.raises(WrongState, match="another key"):
        asyncio.run(_open_and_close(settings))


def test_the_fingerprint_tells_nothing_of_the_key(store_url: str, tmp_path: Path) -> None:
    """What the database keeps to recognize its key is a hash."""
    asyncio.run(_open_and_close(_settings(store_url, KEY, tmp_path)))

    async def fact() -> str:
        async with open_store(store_url) as database:
            row = await database.read(lambda tx: tx.first(Statement("SELECT value FROM installation")))
            assert row is not None
            return str(row["value"])

    text = asyncio.run(fact())
    assert 16 == len(text)
    assert text not in KEY
