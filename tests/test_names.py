"""Words that must not come back, as identifiers or in texts: each has a standard term. CONTRIBUTING.md says why."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.support.tree import ROOT, python_files

LIMITS = {
    "MOST": "MAX_…",
    "LONGEST": "MAX_…_LENGTH, or MAX_… of a time",
    "LARGEST": "MAX_…_SIZE",
    "HIGHEST": "MAX_…",
    "FURTHEST": "MAX_…",
    "SHORTEST": "MIN_…",
    "FEWEST": "MIN_…",
    "SMALLEST": "MIN_…",
}
"""First parts of constants."""

PARTICIPLES = {
    "asked": "request_…",
    "found": "find_…",
    "given": "read_…",
    "heed": "apply_…",
    "kept": "save_… or list_…",
    "made": "create_…",
    "said": "describe_…",
    "shown": "to_… or format_…",
    "taken": "take_…",
    "told": "describe_… or notify_…",
    "written": "format_…",
}
"""Names of functions: a function is a verb in the imperative."""

WORDS = {
    "AtTheDoor": "ApiRequest",
    "Door": "AppContext",
    "GaveUp": "CommandError",
    "Happening": "RoutingFacts",
    "OpenCall": "PublicRequest",
    "Pace": "TokenBucket",
    "PersonalCall": "SessionRequest",
    "Standing": "…Health, …State or …View",
    "Wanted": "…Filter",
    "Listed": "…ListView or …Page",
    "Whole": "…View",
    "Wants": "SubscriptionForm",
    "Turns": "FairQueue",
    "attempt_paces": "rate_limits",
    "call_off": "cancel",
    "calling_off": "cancellation",
    "course_by": "get_timeline",
    "course_of": "build_samples",
    "forwarder": "make_forwarder",
    "give_turn_back": "return_token",
    "give_turns_back": "return_tokens",
    "hold_organization": "lock_organization",
    "hold_run": "lock_run",
    "hold_user": "lock_user",
    "look_at_loss": "count_loss",
    "look_at_reset": "find_reset",
    "look_at_invitation": "find_invitation",
    "rings_for": "summary",
    "run_here": "run_local",
    "shown_wants": "current_subscription_form",
    "standings_in": "get_session_states",
    "take_turn": "take_token",
    "take_turns": "take_tokens",
    "turn_to": "select_organization",
    "wanted_by": "subscription_form",
    "wants_from": "parse_subscription",
    "wants_pauses": "matches_pauses",
}


PHRASES = re.compile(
    r"\b(shall|whom|by hand|of yours|rings? for|what (comes|came) of|(is|are|was|were|be) told|anew|under way"
    r"|none that there is|call(ed|s)? off|heed|hears? of)\b",
    re.IGNORECASE,
)
"""What no colleague says: in pages, docs, and the strings and docstrings of the code."""


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """What people read in a file, with its line: of Python its strings and docstrings, of others each line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
    elif PHRASES.search(text):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, " ".join(node.value.split())


def _bad_names(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", text))
    if not (
        words & WORDS.keys()
        or any(word.isupper() and word.strip("_").partition("_")[0] in LIMITS for word in words)
        or any(f"def {prefix}{word}(" in text for word in PARTICIPLES for prefix in ("", "_"))
    ):
        return  # most files: so they need not be taken apart
    former = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.NAME:
            continue
        word, place = token.string.strip("_"), f"{path.relative_to(ROOT)}:{token.start[0]}"
        term = WORDS.get(word)
        if former == "def":
            term = term or PARTICIPLES.get(word)
        if token.string.isupper():
            term = term or LIMITS.get(word.partition("_")[0])
        if term is not None:
            yield f"{place}: {token.string} is no term of the field; use {term}"
        former = token.string


def test_names_are_terms_of_the_field() -> None:
    """Nobody has to learn a word of ours where the field has one."""
    assert [problem for path in python_files() for problem in _bad_names(path)] == []


def test_texts_are_in_plain_words() -> None:
    """Pages, messages, docs and docstrings say it as a good manual would."""
    source = ROOT / "src"
    pages = [*source.rglob("*.html"), source / "loadbell" / "web" / "static" / "loadbell.js"]
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert [
        f"{path.relative_to(ROOT)}:{line}: {found[0]!r} in {text[:100]!r}"
        for path in [*source.rglob("*.py"), *pages, *documents]
        for line, text in _texts(path)
        if (found := PHRASES.search(text)) is not None
    ] == []
