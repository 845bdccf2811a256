"""Limits how many passwords a peer can try per second.

Theory of operation
-------------------

Everything is counted per peer: one address, one IPv6 network (``IPV6_PREFIX``), or this machine,
which owns all loopback addresses. The answer to a wrong password is delayed, and only ``MOST_HELD``
unrecognised requests of a peer are compared at the same time. Both together limit its guesses per
second, however many connections it opens and however early it gives them up.

A client with the right password may share the peer with an attacker (another user of this machine,
one NAT). Its requests must get through while the attacker occupies all of ``MOST_HELD``, and must
not become a way to guess without limit: comparing at once and answering "429" otherwise would be
one. So the requests beyond ``MOST_HELD`` are queued. Each waits as long, right or wrong, before its
password is compared, and the wait grows with the queue, so no more than ``QUEUE_RATE`` are compared
per second. Requests that the caller recognises without a comparison are not affected.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds by which the answer to a peer's first failure is delayed; doubled with each further one.
FIRST_DELAY = 0.05
LONGEST_DELAY = 2.0
#: Seconds without a failure after which a peer is forgotten.
FORGIVEN_AFTER = 60
#: Unrecognised requests of one peer that may be under way at the same time.
MOST_HELD = 8
#: Requests beyond those whose passwords are compared per second. A server's 1024 connections are
#: served in 16 s, before the time limit for a request ends them.
QUEUE_RATE = 64
#: Peers that are remembered. Beyond, the one without requests for the longest time is forgotten.
MOST_PEERS = 1024
#: One customer of a provider has all IPv6 addresses of a network of this size.
IPV6_PREFIX = 64
#: Any user of this machine may connect from each of its 2**24 loopback addresses.
LOOPBACK = "loopback"


@dataclass(slots=True)
class _Record:
    delay: float = FIRST_DELAY
    last: float = 0.0
    held: int = 0
    queued: int = 0
    turn: trio.Lock = field(default_factory=trio.Lock)


class Throttle:
    """The failures of each peer."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def is_exhausted(self, address: str) -> bool:
        """Whether this peer has so much under way that further requests have to queue."""
        record = self._records.get(_peer(address))
        return record is not None and record.held >= MOST_HELD

    @contextmanager
    def holding(self, address: str) -> Iterator[trio.Lock]:
        """Count a request of this peer as under way and unrecognised.

        Yields the lock for what may be done for only one request of this peer at a time.
        """
        record = self._record(address)
        record.held += 1
        try:
            yield record.turn
        finally:
            record.held -= 1

    @contextmanager
    def queueing(self, address: str) -> Iterator[float]:
        """Count a request of an exhausted peer as queued; yields the seconds it has to wait."""
        record = self._record(address)
        record.queued += 1
        try:
            yield max(LONGEST_DELAY, record.queued / QUEUE_RATE)
        finally:
            record.queued -= 1

    def fail(self, address: str, now: float) -> float:
        """Count a failure at ``now`` (monotonic); returns the seconds to delay the answer."""
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
    """Return the peer that an address belongs to."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return LOOPBACK
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ipaddress.ip_network((ip, IPV6_PREFIX), strict=False))
