"""The actions on groups (add, remove, reread, update) and on the daemon (reload, shutdown)."""

from __future__ import annotations

from trio_supervisor.cli.client.client import Fault
from trio_supervisor.cli.ctl.names import ALL, expanded_groups, fitting_groups
from trio_supervisor.core.process.states import FaultCode

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from trio_supervisor.cli.ctl.session import Session

#: Faults caused by another update that handles the same group at the same time.
OVERTAKEN = (FaultCode.BAD_NAME, FaultCode.STILL_RUNNING, FaultCode.ALREADY_ADDED)


def add(session: Session, argument: str) -> None:
    for name in expanded_groups(session, argument.split(), "getAllConfigInfo"):
        try:
            session.call("addProcessGroup", name)
        except Fault as fault:
            if fault.code == FaultCode.ALREADY_ADDED:
                # Not a failure: scripts rely on the exit status.
                session.line("ERROR: process group already active")
            elif fault.code == FaultCode.BAD_NAME:
                session.fail(f"ERROR: no such process/group: {name}")
            elif fault.code == FaultCode.SHUTDOWN_STATE:
                session.fail("ERROR: shutting down")
            else:
                raise
        else:
            session.line(f"{name}: added process group")


def remove(session: Session, argument: str) -> None:
    for name in expanded_groups(session, argument.split(), "getAllProcessInfo"):
        try:
            session.call("removeProcessGroup", name)
        except Fault as fault:
            if fault.code == FaultCode.STILL_RUNNING:
                session.fail(f"ERROR: process/group still running: {name}")
            elif fault.code == FaultCode.BAD_NAME:
                session.fail(f"ERROR: no such process/group: {name}")
            else:
                raise
        else:
            session.line(f"{name}: removed process group")


def reread(session: Session, argument: str) -> None:
    try:
        ((added, changed, removed),) = session.call("reloadConfig")
    except Fault as fault:
        if fault.code != FaultCode.CANT_REREAD:
            raise
        session.fail(f"ERROR: {fault.text}")
        return
    news = dict.fromkeys(added, "available")
    news |= dict.fromkeys(changed, "changed")
    news |= dict.fromkeys(removed, "disappeared")
    for name in sorted(news):
        session.line(f"{name}: {news[name]}")
    if not news:
        session.line("No config updates to processes")


def update(session: Session, argument: str) -> None:
    try:
        ((added, changed, removed),) = session.call("reloadConfig")
    except Fault as fault:
        if fault.code == FaultCode.SHUTDOWN_STATE:
            session.fail("ERROR: already shutting down")
        elif fault.code == FaultCode.CANT_REREAD:
            session.fail(f"ERROR: {fault.text}")
        else:
            raise
        return
    names = argument.split()
    everything = not names or ALL in names
    if not everything:
        known = {row["group"] for row in session.call("getAllProcessInfo")}
        names = fitting_groups(names, known.union(added))
        for name in dict.fromkeys(names):
            if name not in known and name not in added:
                session.fail(f"ERROR: no such group: {name}")
    for groups, step, done in (
        (removed, _discard, "removed"),
        (changed, _replace, "updated"),
        (added, _introduce, "added"),
    ):
        for group in groups:
            if not everything and group not in names:
                continue
            try:
                step(session, group)
            except Fault as fault:  # go on with the other groups
                if fault.code in OVERTAKEN and not _differs(session, group):
                    session.line(f"{group}: {done} process group")
                else:
                    session.fail(f"{group}: ERROR ({fault.text})")


def _differs(session: Session, group: str) -> bool:
    """Whether the group still differs from the configuration."""
    ((added, changed, removed),) = session.call("reloadConfig")
    return group in (*added, *changed, *removed)


def _discard(session: Session, group: str) -> None:
    results = session.call("stopProcessGroup", group)
    session.line(f"{group}: stopped")  # printed even if nothing was running
    if any(row["status"] == FaultCode.FAILED for row in results):
        session.fail(f"{group}: has problems; not removing")
        return
    session.call("removeProcessGroup", group)
    session.line(f"{group}: removed process group")


def _replace(session: Session, group: str) -> None:
    session.call("stopProcessGroup", group)
    session.line(f"{group}: stopped")
    try:
        session.call("removeProcessGroup", group)
    except Fault as fault:
        if fault.code != FaultCode.BAD_NAME:  # another update has removed it
            raise
    session.call("addProcessGroup", group)
    session.line(f"{group}: updated process group")


def _introduce(session: Session, group: str) -> None:
    session.call("addProcessGroup", group)
    session.line(f"{group}: added process group")


def reload(session: Session, argument: str) -> None:
    if not session.confirmed("Really restart the remote supervisord process"):
        return
    try:
        session.call("restart")
    except Fault as fault:
        if fault.code != FaultCode.SHUTDOWN_STATE:
            raise
        session.fail("ERROR: already shutting down")
    else:
        session.line("Restarted supervisord")


def shutdown(session: Session, argument: str) -> None:
    if not session.confirmed("Really shut the remote supervisord process down"):
        return
    url = session.options.serverurl
    try:
        session.call("shutdown")
    except Fault as fault:
        if fault.code != FaultCode.SHUTDOWN_STATE:
            raise
        session.line("ERROR: already shutting down")  # no failure: stop scripts run it twice
    except ConnectionRefusedError:
        session.fail(f"ERROR: {url} refused connection (already shut down?)")
    except FileNotFoundError:
        session.fail(f"ERROR: {url} no such file (already shut down?)")
    else:
        session.line("Shut down")
