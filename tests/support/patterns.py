r"""
Regular expressions that may take long: a text of one letter, repeated, can be cut between two repeats in many ways.

A pattern is taken apart into its places, each of which takes one character (Glushkov's automaton). It is refused

- if one place can follow another in two ways, as in ``(a+)+`` or ``(a?b?)*``: exponential;
- if two different places that repeat without end take the same letter, and one leads to the other by that letter
  alone, as in ``\d+\.?\d*``, ``.*?/+`` or ``(?:aa|a)*``: quadratic at least;
- if it is searched for, and a repeat that something must follow can begin anywhere in its own letters, as ``\s+$``.

Repeats of up to ``FEW`` cost no more than a factor. Words of several letters are not tried.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from re import _constants as sre
from re import _parser as parser
from typing import Any

FEW = 255
_ALPHABET = [chr(code) for code in range(128)] + list("é\u0663\u2028漢\U0001f514")
_REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}


@dataclass
class _Part:
    """A part of a pattern: where it begins and ends, and whether it may take nothing."""

    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    empty: bool = True


class _Automaton:
    def __init__(self, pattern: str | bytes, flags: int) -> None:
        text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
        tree = parser.parse(text, flags)
        self.flags = tree.state.flags
        self.letters = sorted({*_ALPHABET, *text})
        self.sets: list[set[str]] = []
        self.follow: dict[int, list[int]] = defaultdict(list)
        self.endless: set[tuple[int, int]] = set()  # steps that repeats without end take
        self.conditions = False  # it may still fail where it could end
        self.whole = self.part(tree)
        begins = [(sre.AT, sre.AT_BEGINNING), (sre.AT, sre.AT_BEGINNING_STRING)]
        self.anchored = any(one in begins for one in tree[:1]) and not self.flags & re.MULTILINE

    def part(self, items: Iterable[tuple[Any, Any]]) -> _Part:
        """A sequence."""
        whole = _Part()
        for kind, value in items:
            one = self.item(kind, value)
            self.join(whole.last, one.first)
            if whole.empty:
                whole.first = whole.first + one.first
            whole.last = whole.last + one.last if one.empty else one.last
            whole.empty = whole.empty and one.empty
        return whole

    def item(self, kind: Any, value: Any) -> _Part:  # noqa: PLR0911 - one for each kind
        """One item of a sequence."""
        if kind in _REPEATS:
            return self.repeat(*value)
        if kind is sre.SUBPATTERN:
            return self.part(value[-1])
        if kind is sre.ATOMIC_GROUP:
            return self.part(value)
        if kind is sre.BRANCH:
            ways = [self.part(way) for way in value[1]]
            return _Part(
                [place for way in ways for place in way.first],
                [place for way in ways for place in way.last],
                any(way.empty for way in ways),
            )
        if kind in {sre.ASSERT, sre.ASSERT_NOT}:
            self.part(value[1])  # for what is in it; it takes nothing
            self.conditions = True
            return _Part()
        if kind is sre.AT:
            self.conditions = self.conditions or value is not sre.AT_BEGINNING
            return _Part()
        self.sets.append({letter for letter in self.letters if self.takes(kind, value, letter)})
        return _Part([len(self.sets) - 1], [len(self.sets) - 1], empty=False)

    def repeat(self, least: int, most: int, items: Any) -> _Part:
        """A repeat: from its end it goes on at its beginning."""
        one = self.part(items)
        if most > 1:
            self.join(one.last, one.first)
        if most > FEW:
            self.endless |= {(a, b) for a in one.last for b in one.first}
        return _Part(one.first, one.last, one.empty or least == 0)

    def join(self, ends: Sequence[int], begins: Sequence[int]) -> None:
        """Says what may follow."""
        for end in ends:
            self.follow[end] += begins

    def takes(self, kind: Any, value: Any, letter: str) -> bool:
        """Whether an item of one character takes ``letter``."""
        if kind is sre.IN:
            negated = value[0][0] is sre.NEGATE
            return negated != any(self.takes(inner, of, letter) for inner, of in value[negated:])
        if kind is sre.ANY:
            return letter != "\n" or bool(self.flags & re.DOTALL)
        if kind is sre.CATEGORY:
            return re.match(_CATEGORIES[value], letter, self.flags & re.ASCII) is not None
        cases = {letter, letter.lower(), letter.upper()} if self.flags & re.IGNORECASE else {letter}
        if kind is sre.RANGE:
            return any(len(text) == 1 and value[0] <= ord(text) <= value[1] for text in cases)
        inside = any(text == chr(value) for text in cases)
        return inside != (kind is sre.NOT_LITERAL)


_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d", sre.CATEGORY_NOT_DIGIT: r"\D", sre.CATEGORY_SPACE: r"\s", sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w", sre.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


def trouble(pattern: str | bytes, flags: int = 0, *, searched: bool = False) -> str | None:
    """Why the pattern may take long; None if it does not. ``searched``: it need not begin at the text's beginning."""
    found = _Automaton(pattern, flags)
    for place, following in found.follow.items():
        if len(set(following)) < len(following):
            return f"the same text can be repeated in two ways, at place {place}"
    for letter in found.letters:
        fitting = {place for place, letters in enumerate(found.sets) if letter in letters}
        reached = {place: _reached(found, [place], fitting) for place in fitting}
        loops = {
            place for a, place in found.endless if place in fitting and a in fitting and a in reached[place] | {place}
        }
        for loop in loops:
            circle = {place for place in reached[loop] if loop in reached[place]} | {loop}
            forks = any(len(set(found.follow[place]) & circle) > 1 for place in circle)
            if forks or reached[loop] & (loops - circle):
                return f"two repeats share {letter!r}"
        begun = _reached(found, [], fitting, found.whole.first) & loops
        open_end = [loop for loop in begun if loop not in found.whole.last or found.conditions]
        if searched and not found.anchored and open_end:
            return f"a search begins anew at each {letter!r}"
    return None


def _reached(found: _Automaton, places: list[int], fitting: set[int], begin: Iterable[int] = ()) -> set[int]:
    """The places that are reached from ``places``, or by beginning at ``begin``, by letters of ``fitting`` alone."""
    reached: set[int] = set()
    waiting = [*(number for place in places for number in found.follow[place]), *begin]
    while waiting:
        place = waiting.pop()
        if place in fitting and place not in reached:
            reached.add(place)
            waiting += found.follow[place]
    return reached
