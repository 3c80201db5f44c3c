"""Addresses of other products are refused when they are saved, with what to do instead; all that can work is taken."""

import pytest

from loadbell.channels import channel_types
from loadbell.channels.products import wrong_product
from loadbell.channels.settings import parse_settings
from loadbell.domain.channels import ChannelKind
from loadbell.domain.errors import Invalid

SLACK, HIPCHAT, WEBHOOK = ChannelKind("slack"), ChannelKind("hipchat"), ChannelKind("webhook")
DISCORD = "https://discord.com/api/webhooks/123456789012345678/sentinel-TOKEN_x"


@pytest.mark.parametrize(
    ("kind", "url", "advice"),
    [
        (SLACK, DISCORD, "Add /slack to the end"),
        (SLACK, f"{DISCORD}/", "Add /slack to the end"),
        (SLACK, f"{DISCORD}?wait=true", "before a ?"),
        (SLACK, f"{DISCORD}/github", "Replace /github with /slack"),
        (SLACK, "https://discordapp.com/api/webhooks/1/sentinel", "Add /slack to the end"),
        (SLACK, "https://ptb.discord.com/api/v10/webhooks/1/sentinel", "Add /slack to the end"),
        (SLACK, "https://DISCORD.com.:443/api/webhooks/1/sentinel", "Add /slack to the end"),
        (SLACK, "https://discord.com/channels/1/2", "not a webhook"),
        (SLACK, "https://discord.com/api/webhooks/1/sentinel/messages/2", "not a webhook"),
        (WEBHOOK, DISCORD, "Add it as a Slack channel, with /slack"),
        (WEBHOOK, f"{DISCORD}/slack", "Add it as a Slack channel, with /slack"),
        (HIPCHAT, DISCORD, "Add it as a Slack channel, with /slack"),
        (HIPCHAT, "https://api.hipchat.com/v1/rooms/message?format=json&auth_token=sentinel", "/v2/room/ROOM/"),
        (HIPCHAT, "https://hipchat.example.org/v1/rooms/message/?auth_token=sentinel", "/v2/room/ROOM/"),
        (HIPCHAT, "https://chat.example.org/base/v1/rooms/message?auth_token=sentinel", "/v2/room/ROOM/"),
        (HIPCHAT, "https://api.hipchat.com/v1/rooms/list?auth_token=sentinel", "API v1"),
        (HIPCHAT, "https://acme.hipchat.com/chat/room/sentinel", "HipChat page"),
        (SLACK, "https://api.hipchat.com/v2/room/1/notification?auth_token=sentinel", "as a HipChat channel"),
        (WEBHOOK, "https://acme.hipchat.com/v2/room/1/notification?auth_token=sentinel", "as a HipChat channel"),
        (WEBHOOK, "https://hooks.slack.com/services/T0/B0/sentinel", "Add it as a Slack channel"),
        (HIPCHAT, "https://hooks.slack.com/services/T0/B0/sentinel", "Add it as a Slack channel"),
        (WEBHOOK, "https://app.slack.com/client/T0/sentinel", "into a Slack channel"),
        (WEBHOOK, "https://slack.com/api/chat.postMessage", "into a Slack channel"),
        (SLACK, "https://app.slack.com/client/T0/sentinel", "https://hooks.slack.com/services/"),
        (SLACK, "https://acme.slack.com/archives/sentinel", "https://hooks.slack.com/services/"),
        *(
            (kind, url, "a service that translates it")
            for kind in (SLACK, HIPCHAT, WEBHOOK)
            for url in (
                "https://acme.webhook.office.com/webhookb2/sentinel",
                "https://outlook.office.com/webhook/sentinel",
                "https://teams.microsoft.com/l/channel/sentinel",
                "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=sentinel&token=x",
            )
        ),
    ],
)
def test_another_product_is_refused_with_what_to_do(kind: ChannelKind, url: str, advice: str) -> None:
    """The sentence stands at the URL, says what helps, and repeats nothing of the URL's path and query."""
    with pytest.raises(Invalid) as caught:
        parse_settings(kind, {"url": url}, check_url=lambda _: None)

    (error,) = caught.value.errors
    assert "settings.url" == error.field
    assert advice in error.message
    assert "sentinel" not in error.message


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (SLACK, f"{DISCORD}/slack"),
        (SLACK, f"{DISCORD}/slack/"),
        (SLACK, f"{DISCORD}/slack?thread_id=1&wait=true"),
        (SLACK, "https://canary.discord.com/api/v9/webhooks/1/x/slack"),
        (SLACK, "https://discord.com.example.org/api/webhooks/1/x"),
        (SLACK, "https://notdiscord.com/api/webhooks/1/x"),
        (SLACK, "https://prod-1.westeurope.logic.azure.com/workflows/x/triggers/manual/paths/invoke"),
        (SLACK, "https://mattermost.example/hooks/x"),
        (SLACK, "https://chat.example/v2/room/1/notification?auth_token=x"),
        (SLACK, "https://hooks.slack.com/services/T0/B0/x"),
        (HIPCHAT, "https://api.hipchat.com/v2/room/1/notification?auth_token=x"),
        (HIPCHAT, "https://hipchat.example/v2/room/1/notification?auth_token=x"),
        (HIPCHAT, "https://hipchat.example/v1/rooms/messages"),
        (HIPCHAT, "https://any.example/v1/hook"),
        (WEBHOOK, "https://hooks.slack.com/triggers/T0/1/x"),
        (WEBHOOK, "https://hooks.slack.com/workflows/T0/A0/1/x"),
        (WEBHOOK, "https://prod-1.westeurope.logic.azure.com/workflows/x/triggers/manual/paths/invoke"),
        (WEBHOOK, "https://hooks.example.org/discord.com/api/webhooks/1/x"),
        (WEBHOOK, "https://any.example/v1/rooms/message"),
    ],
)
def test_what_may_work_is_taken(kind: ChannelKind, url: str) -> None:
    """Each product's own address, a workflow or flow that takes any body, and any path on any other host."""
    assert url == parse_settings(kind, {"url": url}, check_url=lambda _: None).url


@pytest.mark.parametrize("kind", channel_types())
@pytest.mark.parametrize("url", ["", "nonsense", "ftp://discord.com/", "https://", "https://[::1"])
def test_what_is_no_url_is_not_judged_here(kind: ChannelKind, url: str) -> None:
    """A text that can't be read as a URL is told as such by whoever checks that, and raises nothing here."""
    assert wrong_product(kind, url) is None
