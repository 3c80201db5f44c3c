"""``loadbell channels``: an organization's notification channels."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from loadbell.cli.errors import ExitCode
from loadbell.cli.remote import own_organization, request, request_all
from loadbell.cli.tables import AsJson, show, show_list
from loadbell.cli.values import HOW, read_value
from loadbell.client.api import one_line

if TYPE_CHECKING:
    from loadbell.channels.reference import Setting

ChannelId = Annotated[int, typer.Argument(help="The channel's id; `loadbell channels list` shows it.", min=1)]


def register(app: typer.Typer) -> None:
    """Adds ``channels`` with its own commands to the program."""
    group = typer.Typer(help="Manage notification channels.", no_args_is_help=True)
    group.command("list")(list_channels)
    group.command("add", cls=_Add)(add)
    group.command("test")(send_test)
    for command in (pause, resume, delete):
        group.command()(command)
    app.add_typer(group, name="channels")


class _Add(TyperCommand):
    """A command whose help ends with the settings of each kind. They are imported only for that help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from loadbell.channels import channel_types  # noqa: PLC0415 - only for this help
        from loadbell.channels.reference import list_settings  # noqa: PLC0415 - as above

        lines = ["Settings of each kind, for --set:"]
        for kind in channel_types():
            lines += [f"{kind} {_describe_setting(setting)}" for setting in list_settings(kind)]
        self.epilog = "\n\n".join(lines)
        super().format_help(ctx, formatter)


def list_channels(as_json: AsJson = False) -> None:
    """List the organization's channels, newest first."""
    channels = request_all(f"/organizations/{own_organization()}/channels")
    rows = [(item["id"], item["kind"], item["name"], _place(item), _state(item)) for item in channels]
    empty = "No channels yet. Add one with: loadbell channels add"
    show_list(channels, rows, as_json=as_json, empty=empty)


def add(
    kind: Annotated[str, typer.Option(help="The kind of channel: webhook, slack, …")],
    name: Annotated[str, typer.Option(help="The name to show.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help=f"A setting. For VALUE, {HOW} If a value begins with @, write @@. To set an entry of an object: "
            "headers.X-Team=perf.",
        ),
    ] = None,
    only_failures: Annotated[
        bool,
        typer.Option(
            "--only-failures",
            help="Notify only about runs that fail, time out, or are aborted by a threshold, a script error or the "
            "system.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a channel, and print its id. For a WebHook, also print its signing secret, which is shown only once."""
    body: dict[str, Any] = {"kind": kind, "name": name, "settings": _settings(kind, settings or [])}
    if only_failures:
        body["subscription"] = {"events": ["test.finished"], "only_failures": True}
    values = request("POST", f"/organizations/{own_organization()}/channels", body)
    text = f"Channel {values['id']} added: {_place(values)}"
    if secret := values.get("signing_secret"):
        text += f"\nSigning secret (shown only once): {secret}"
    show(values, text, as_json=as_json)


def send_test(channel_id: ChannelId, as_json: AsJson = False) -> None:
    """Send a Test Hook and show the receiver's response. Exits with 1 if it wasn't delivered."""
    delivery = request("POST", f"/channels/{channel_id}/test", {})
    delivered = delivery["status"] == "delivered"
    if as_json:
        print(json.dumps(delivery))
    else:
        told = one_line(delivery["message"] or "The test is still running. Check the delivery log later.")
        print(f"{'Delivered' if delivered else 'Not delivered'}. {told}")
        if not delivered and (said := _describe_delivery(delivery)):
            print(f"Response: {said}")
    if not delivered:
        raise typer.Exit(ExitCode.FAILED)


def pause(channel_id: ChannelId, as_json: AsJson = False) -> None:
    """Pause a channel; notifications are queued."""
    show(
        request("POST", f"/channels/{channel_id}/pause", {}),
        f"Channel {channel_id} paused. Notifications are queued.",
        as_json=as_json,
    )


def resume(
    channel_id: ChannelId,
    held: Annotated[Literal["deliver", "drop"], typer.Option(help="What to do with queued notifications.")] = "deliver",
    as_json: AsJson = False,
) -> None:
    """Resume a paused channel, and deliver or drop its queued notifications."""
    was_paused = request("GET", f"/channels/{channel_id}")["paused_reason"] is not None
    channel = request("POST", f"/channels/{channel_id}/resume", {"held": held})
    done = "Queued notifications are being sent." if held == "deliver" else "Queued notifications were dropped."
    text = f"Channel {channel_id} resumed. {done}" if was_paused else f"Channel {channel_id} wasn't paused."
    show(channel, text, as_json=as_json)


def delete(channel_id: ChannelId) -> None:
    """Delete a channel. Its pending deliveries are cancelled; its delivery log is kept."""
    request("DELETE", f"/channels/{channel_id}")
    print(f"Channel {channel_id} deleted.")


def _place(channel: dict[str, Any]) -> str:
    """The channel's URL, as far as the user may see it."""
    return one_line(str(channel["settings"].get("url", "…")))


def _state(channel: dict[str, Any]) -> str:
    if channel["paused_reason"] is not None:
        return one_line(f"paused: {channel['paused_reason']}")
    if (wait := channel.get("waiting")) is not None:  # older servers don't send it
        return one_line(f"waiting since {wait['since']} until {wait['until']}: {wait['reason']}")
    return "on" if channel["enabled"] else "off"


def _describe_delivery(delivery: dict[str, Any]) -> str:
    """The body of the last response, on one line; empty if there is none."""
    response = delivery["attempts"][-1]["response"] if delivery["attempts"] else None
    return one_line((response or {}).get("body") or "")


def _describe_setting(setting: "Setting") -> str:
    example = f"{setting.name}.NAME" if setting.value_type is dict else setting.name
    return f"{example}={'true|false' if setting.value_type is bool else '…'}: {setting.help}"


def _settings(kind: str, assignments: list[str]) -> dict[str, Any]:
    """The settings object for these ``NAME=VALUE`` arguments. The server validates it.

    Raises:
        typer.BadParameter: an argument isn't an assignment, or its file can't be read.
    """
    from loadbell.channels import channel_types  # noqa: PLC0415 - only when a channel is added
    from loadbell.channels.reference import list_settings  # noqa: PLC0415 - as above

    known = next((found for found in channel_types() if found == kind), None)
    types = {} if known is None else {setting.name: setting.value_type for setting in list_settings(known)}
    settings: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        name, _, entry = path.partition(".")
        if not equals or not name:
            raise _wrong("use NAME=VALUE, for example url=https://hooks.example.org/loadbell")
        value = _read(name, text)
        if types.get(name) is bool:
            settings[name] = _boolean(name, value)
        elif entry:
            settings[name] = {**_entries(settings, name), entry: value}
        else:
            settings[name] = value
    return settings


def _read(name: str, text: str) -> str:
    try:
        return read_value(text)
    except ValueError as error:
        raise _wrong(f"the file for {name} can't be read: {error}") from None


def _boolean(name: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise _wrong(f"{name} must be true or false")
    return value == "true"


def _entries(settings: dict[str, Any], name: str) -> dict[str, str]:
    entries = settings.get(name, {})
    if not isinstance(entries, dict):
        raise _wrong(f"{name} is set both as a text and as an object")
    return entries


def _wrong(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--set")
