"""Slows down those who try passwords (interfaces.md section 5). Knows addresses and times only."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that the answer to a peer's first failure takes; doubled with each further one.
FIRST_DELAY = 0.05
LONGEST_DELAY = 2.0
#: Seconds without a failure after which a peer is forgotten.
FORGIVEN_AFTER = 60
#: Unrecognised requests of one peer that may be under way at the same time: together with the delay
#: this bounds its guesses per second, however many connections it makes.
MOST_HELD = 8
#: Peers that are remembered; beyond, the one that was quiet for longest is forgotten.
MOST_PEERS = 1024
#: One customer of a provider owns as many IPv6 addresses as there are below this prefix.
IPV6_PREFIX = 64


@dataclass(slots=True)
class _Record:
    delay: float = FIRST_DELAY
    last: float = 0.0
    held: int = 0


class Throttle:
    """The failures of each peer."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def is_exhausted(self, address: str) -> bool:
        """Whether this peer has so much under way that nothing is compared for it."""
        record = self._records.get(_peer(address))
        return record is not None and record.held >= MOST_HELD

    @contextmanager
    def holding(self, address: str) -> Iterator[None]:
        """While a request of this peer, which nobody has recognised yet, is under way."""
        record = self._record(address)
        record.held += 1
        try:
            yield
        finally:
            record.held -= 1

    def fail(self, address: str, now: float) -> float:
        """Count one failure at ``now`` (monotonic seconds); for how long to hold its answer."""
        record = self._record(address)
        if now - record.last > FORGIVEN_AFTER:
            record.delay = FIRST_DELAY
        delay = record.delay
        record.delay = min(delay * 2, LONGEST_DELAY)
        record.last = now
        return delay

    def _record(self, address: str) -> _Record:
        peer = _peer(address)
        record = self._records.pop(peer, None) or _Record()
        self._records[peer] = record  # the latest stands last
        if len(self._records) > MOST_PEERS:
            self._records.popitem(last=False)
        return record


def _peer(address: str) -> str:
    """Whom an address belongs to."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, IPV6_PREFIX), strict=False))
