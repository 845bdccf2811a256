"""The evidence of entries: the facts of a transition, bounded, escaped and without secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trio_supervisor.core.config.secrets import MASK, SHORTEST_SECRET
from trio_supervisor.core.escape import escaped
from trio_supervisor.core.journal.entry import NO_FACTS, OfChild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trio_supervisor.core.journal.entry import Fact, Facts
    from trio_supervisor.core.process.record import Transition

#: Most characters of the texts of one entry together.
LIMIT = 1024
#: User and password of a URL.
_USER_INFO = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s/@'\"]*@")
_SECRET_NAME = (
    r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)"
)
_VALUE = r"(?:'[^']*'|\"[^\"]*\"|[^\s,;]+)"
#: What programs and error messages call secret: ``db_password=...``, ``--token ...``, and the
#: header Authorization. Repetitions are bounded, because the text comes from programs.
_NAMED_SECRET = re.compile(
    rf"({_SECRET_NAME}[\w-]{{0,30}}['\"]?\s{{0,3}}[=:]\s{{0,3}}"
    rf"|--[\w-]{{0,30}}{_SECRET_NAME}[\w-]{{0,30}}\s{{1,3}}"
    rf"|authorization['\"]?\s{{0,3}}[=:]\s{{0,3}}(?:basic|bearer)\s{{1,3}}){_VALUE}",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(_SECRET_NAME, re.IGNORECASE)


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of an environment that are secret by the names of their variables."""
    return tuple(
        value
        for name, value in environment.items()
        if _SECRET_VARIABLE.search(name) and len(value) >= SHORTEST_SECRET
    )


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace what may be secret: user info in URLs, ``password=...``, the given values."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _NAMED_SECRET.sub(rf"\g<1>{MASK}", _USER_INFO.sub(rf"\g<1>{MASK}@", text))


def bounded(facts: Mapping[str, Fact], secrets: Iterable[str] = ()) -> Facts:
    """Escape and mask the texts of the evidence, and cut them to LIMIT characters together.

    Of a text that is too long the end is kept, because the last words are those that matter.
    """
    left = LIMIT
    kept: dict[str, Fact] = {}
    for name, fact in facts.items():
        if isinstance(fact, str):
            text = escaped(masked(fact, secrets))
            fact = text[max(0, len(text) - left) :] if left else ""
            left -= len(fact)
            if not fact:
                continue
        kept[name] = fact
    return kept or NO_FACTS


def evidence_of(
    transition: Transition, secrets: Callable[[], Iterable[str]], *, output: bool
) -> Facts:
    """Return the evidence of a transition, without these secrets.

    ``output``: with the last lines of an unexpected end.
    """
    facts = transition.evidence
    end = facts.end
    if end is None and not facts.error:  # a start, a success, a stop signal: most transitions
        return OfChild(facts.pid) if facts.pid else NO_FACTS
    found: dict[str, Fact] = {}
    if facts.pid:
        found["pid"] = facts.pid
    if facts.failures:
        found["failures"] = facts.failures
    if facts.error:
        found["error"] = facts.error
    if facts.rule:
        found["rule"] = facts.rule
    if end is not None:
        found["exit"] = end.description
        found["expected"] = end.expected
        found["lifetime"] = round(end.lifetime, 3)
        if end.usage is not None and end.usage.peak_memory:
            found["peak_memory"] = end.usage.peak_memory
        if output and not end.expected and (end.stderr or end.stdout):
            found |= {"stderr": end.stderr, "stdout": end.stdout}
            return bounded(found, secrets())
    return bounded(found, secrets()) if facts.error or facts.rule else found
