"""
Addresses of well-known products that people paste into a channel of another kind, and what to do instead.

Refused is only what certainly can't work: hosts that belong to one product, and HipChat's API v1. Sources: Discord,
"Execute Slack-Compatible Webhook"; Slack, "Sending messages using incoming webhooks"; HipChat, API v1 "rooms/message";
Microsoft, "Create an Incoming Webhook"; Google, "Build a Google Chat app as a webhook". Each of them answers 400, or
nothing of use, to a body that is not its own.
"""

import re

from loadbell.domain.channels import ChannelKind
from loadbell.outbound.urls import BadUrl, parse_url

_SLACK = ("slack.com", "slack-gov.com")
_DISCORD = ("discord.com", "discordapp.com")
_HIPCHAT = ("hipchat.com",)
_TEAMS = ("webhook.office.com", "outlook.office.com", "outlook.office365.com", "teams.microsoft.com", "teams.live.com")
_GOOGLE_CHAT = ("chat.googleapis.com", "chat.google.com")

_SLACK_WEBHOOKS = ("/services/", "/workflows/", "/triggers/")
_DISCORD_WEBHOOK = re.compile(r"(/api(?:/v[0-9]+)?/webhooks/[0-9]+/[^/]+)(?:/(slack|github))?/?")
_HIPCHAT_V1 = "/v1/rooms/message"


def wrong_product(kind: ChannelKind, url: str) -> str | None:
    """What is wrong with ``url`` for a channel of ``kind``, and what to do, when it is another product's; else None.

    The sentence shows nothing of the URL.
    """
    try:
        target = parse_url(url)
    except BadUrl:
        return None  # told by whoever checks the URL itself
    host, path = target.host.removesuffix("."), target.path.partition("?")[0]
    if _belongs(host, _DISCORD):
        return _discord(kind, path)
    if _belongs(host, _SLACK):
        return _slack(kind, path)
    if wrong := _hipchat(kind, path, hosted=_belongs(host, _HIPCHAT)):
        return wrong
    if _belongs(host, _TEAMS):
        return _unknown("Microsoft Teams")
    return _unknown("Google Chat") if _belongs(host, _GOOGLE_CHAT) else None


def _belongs(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def _discord(kind: ChannelKind, path: str) -> str | None:
    webhook = _DISCORD_WEBHOOK.fullmatch(path)
    if webhook is None:
        return (
            "This is a Discord page, not a webhook. In Discord, open the channel's settings, Integrations, Webhooks, "
            "copy the webhook's URL, and enter it in a Slack channel with /slack at its end."
        )
    if kind != "slack":
        return (
            "This is a Discord webhook, which can't read this channel's messages. Add it as a Slack channel, with "
            "/slack at the end of the URL: Discord takes Slack's messages there."
        )
    if webhook[2] == "slack":
        return None
    return (
        "This is a Discord webhook, which accepts Slack messages only at a URL that ends in /slack. "
        f"{'Replace /github with /slack' if webhook[2] else 'Add /slack to the end'}, before a ? if there is one."
    )


def _slack(kind: ChannelKind, path: str) -> str | None:
    if not path.startswith(_SLACK_WEBHOOKS):
        return "This isn't an incoming webhook URL. Copy the one that starts with https://hooks.slack.com/services/" + (
            ", and paste it into a Slack channel." if kind != "slack" else "."
        )
    if kind == "slack" or not path.startswith("/services/"):  # a workflow may take any body
        return None
    return "This is a Slack incoming webhook, which rejects what this channel sends. Add it as a Slack channel."


def _hipchat(kind: ChannelKind, path: str, *, hosted: bool) -> str | None:
    if kind != "hipchat":
        sentence = "This is a HipChat URL, which can't read what this channel sends. Add it as a HipChat channel."
        return sentence if hosted else None
    right = "The room's notification URL looks like https://HOST/v2/room/ROOM/notification?auth_token=TOKEN."
    if path.rstrip("/").endswith(_HIPCHAT_V1) or (hosted and path.startswith("/v1/")):
        return f"This is a URL of HipChat's API v1, but loadbell uses API v2. {right}"
    if hosted and not path.startswith("/v2/"):
        return f"This is a HipChat page. {right}"
    return None


def _unknown(product: str) -> str:
    return (
        f"This is a {product} URL, which can't read what this channel sends. Send a WebHook to a service that "
        "translates it, such as a flow triggered by an HTTP request."
    )
