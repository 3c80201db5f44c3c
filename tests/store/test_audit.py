"""The audit log in the store: what a look costs is bounded, whatever the filters leave."""

from loadbell.domain.orgs import Role
from loadbell.notify.channels import update_channel
from loadbell.store.audit import (
    MAX_SCANNED,
    Filters,
    append_account_entry,
    append_operator_entry,
    list_account_entries,
    list_entries,
)
from tests.support.audit_logs import FILL, filling
from tests.support.stores import Play, Site


def test_a_look_goes_on_where_the_last_one_ended(play: Play) -> None:
    """With a filter that little meets, a look ends after ``MAX_SCANNED`` entries and says where the next one begins."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.run_sql(FILL, **filling(site.organization_id, site.owner.user_id, 2 * MAX_SCANNED + 10))
        filters, looks, before = Filters(action="channel.created"), [], None
        for _ in range(3):
            entries, before = await site.do(list_entries, site.organization_id, filters, before=before, limit=5)
            looks.append(([entry.subject.split()[0] for entry in entries], before is None))

        assert [([], False), ([], False), (["channel"], True)] == looks

    play(scenario)


def test_an_exact_look_is_the_last(play: Play) -> None:
    """When there are just as many entries as one look passes, none is left out and nothing is promised twice."""

    async def scenario(site: Site) -> None:
        await site.run_sql(FILL, **filling(site.organization_id, site.owner.user_id, MAX_SCANNED))
        total, before = 0, None
        while True:
            entries, before = await site.do(list_entries, site.organization_id, Filters(), before=before, limit=9_000)
            total += len(entries)
            if before is None:
                break

        assert MAX_SCANNED == total

    play(scenario)


def test_an_account_has_a_log_of_its_own(play: Play) -> None:
    """What concerns a user's account is in no organization's log, and what was done in an organization is not in it."""

    async def scenario(site: Site) -> None:
        await site.channel()
        await site.do(append_account_entry, site.owner.user_id, "127.0.0.1", "account.signed_in", {})
        mine, _ = await site.do(list_account_entries, site.owner.user_id, before=None, limit=9)
        ours, _ = await site.do(list_entries, site.organization_id, Filters(), before=None, limit=9)

        assert [("account.signed_in", "owner@example.org")] == [(entry.action, entry.email) for entry in mine]
        assert ["channel.created"] == [entry.action for entry in ours]

    play(scenario)


def test_what_the_operator_does_to_an_account_is_in_its_log(play: Play) -> None:
    """Under nobody's name, in the order of time, and in no other account's log; however much else names nobody."""

    async def scenario(site: Site) -> None:
        me, other = site.owner.user_id, (await site.person(Role.ADMIN)).user_id
        await site.do(append_operator_entry, me, "account.password_reset", {"sessions_ended": 1})
        await site.run_sql(FILL, **filling(site.organization_id, None, MAX_SCANNED))
        await site.do(append_account_entry, me, "127.0.0.1", "account.signed_in", {})
        await site.do(append_operator_entry, other, "account.password_reset", {})
        looks, before = [], None
        for _ in range(2):
            entries, before = await site.do(list_account_entries, me, before=before, limit=9)
            looks.append(([(entry.action, entry.email) for entry in entries], before is None))
        (one,), there = await site.do(list_account_entries, other, before=None, limit=1)

        assert [
            ([("account.signed_in", "owner@example.org")], False),
            ([("account.password_reset", None)], True),
        ] == looks
        assert (f"user {other}", None, None) == (one.subject, one.user_id, one.address)
        assert there is not None

    play(scenario)


def test_a_change_of_settings_is_told_without_its_secrets(play: Play) -> None:
    """Each setting by itself; a new path behind the same host, or a new header value, shows as changed, masked."""

    async def scenario(site: Site) -> None:
        channel = await site.channel("https://one.example.org/s3cret", settings={
            "url": "https://one.example.org/s3cret", "headers": {"X-Key": "s3cret"},
        })  # fmt: skip
        new = {"url": "https://one.example.org/s3cret2", "headers": {"X-Key": "s3cret2"}, "bearer_token": "s3cret3"}
        await site.do(update_channel, site.owner, channel.id, settings=new)
        await site.do(update_channel, site.owner, channel.id, settings=new, name=channel.name, enabled=True)
        (changed, created), _ = await site.do(list_entries, site.organization_id, Filters(), before=None, limit=9)
        url, headers = "https://one.example.org/…", {"X-Key": "…"}

        assert "channel.created" == created.action
        assert changed.changes == {
            "name": "receiver",
            "settings.url": {"before": url, "after": url},
            "settings.headers": {"before": headers, "after": headers},
            "settings.bearer_token": {"before": None, "after": "…"},
        }
        assert "s3cret" not in repr((changed, created))

    play(scenario)
