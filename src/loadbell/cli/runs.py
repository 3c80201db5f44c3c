"""``loadbell runs``: lists, shows and aborts runs."""

from datetime import datetime
from typing import Annotated, Any

import typer

from loadbell.cli.remote import request, request_all
from loadbell.cli.tables import AsJson, format_time, show, show_list
from loadbell.client.api import one_line

RunId = Annotated[int, typer.Argument(help="The run's id; `loadbell runs list` shows it.", min=1)]
Limit = Annotated[int, typer.Option("--limit", help="Maximum number of runs.", min=1)]

_DASH = "\u2013"


def register(app: typer.Typer) -> None:
    """Adds ``runs`` with its own commands to the program."""
    group = typer.Typer(help="List, show and abort runs.", no_args_is_help=True)
    group.command("list")(list_runs)
    group.command("show")(show_run)
    group.command()(abort)
    app.add_typer(group, name="runs")


def list_runs(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the runs that the token can see, newest first."""
    items = request_all("/runs", limit=limit)
    rows = [(item["id"], _state(item), item["source"], format_time(item["created_at"]), item["name"]) for item in items]
    show_list(items, rows, as_json=as_json, empty="No runs yet.")


def show_run(run_id: RunId, as_json: AsJson = False) -> None:
    """Show a run: its status, metrics and thresholds."""
    item = request("GET", f"/runs/{run_id}")
    show(item, "\n".join(_lines(item)), as_json=as_json)


def abort(run_id: RunId, as_json: AsJson = False) -> None:
    """Abort a run. Its tool stops within seconds; if it can't be stopped from here, the run is marked aborted."""
    values = request("POST", f"/runs/{run_id}/abort", {})
    ended = values["ended_at"] is not None
    text = f"Run {run_id} {'ended' if ended else 'is stopping'}: {values['status_text']}."
    show(values, f"{text} {one_line(values['note'])}" if ended and values["note"] else text, as_json=as_json)


def _lines(one: dict[str, Any]) -> list[str]:
    facts = {
        "run": one["id"],
        "test": one_line(one["name"]),
        "status": _state(one),
        "source": f"{one['source']}, {one['trigger']}",
        "created": format_time(one["created_at"]),
        **({"took": _took(one)} if one["ended_at"] else {}),
        "page": one["url"],
        **({"note": one_line(one["note"])} if one["note"] else {}),
    }
    lines = [f"{name:<9}  {value}" for name, value in facts.items()]
    lines += [f"{one_line(name):<9}  {value:g}" for name, value in one["metrics"].items() if name != "duration_s"]
    return lines + [_verdict(threshold) for threshold in one["thresholds"]]


def _verdict(threshold: dict[str, Any]) -> str:
    expression, was = one_line(threshold["expression"]), threshold["value"]
    if not threshold["ok"]:
        word = "crossed"
    elif threshold.get("measured") is False:  # older servers don't send it
        return f"{_DASH:<9}  {expression} — nothing was measured"
    else:
        word = "held"
    return f"{word:<9}  {expression}" + ("" if was is None else f" — was {was:g}")


def _took(one: dict[str, Any]) -> str:
    if one["started_at"] is None:
        return "duration not reported"
    started, ended = (datetime.fromisoformat(one[name]) for name in ("started_at", "ended_at"))
    return f"{(ended - started).total_seconds():g} s"


def _state(one: dict[str, Any]) -> str:
    return f"{one['status_text']}, {one['result']}" if one["result"] else one["status_text"]
