"""The layout of ``top``: lines of styled text for a terminal of any size.

Pure; ``loop.py`` paints the lines.
"""

from __future__ import annotations

from trio_supervisor.cli.ctl.text import cells, clip, fit, plain, size
from trio_supervisor.cli.ctl.top.keys import HINTS, KEYS
from trio_supervisor.cli.ctl.top.model import COLUMNS, LAST_LINE, NAME, STATE

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from trio_supervisor.cli.ctl.top.keys import Top
    from trio_supervisor.cli.ctl.top.model import Column, Row

    Span = tuple[str, str]
    Line = list[Span]

#: Names of styles; ``screen.py`` chooses attributes and colours for them.
NORMAL, BOLD, DIM, HEAD, SORTED, CURSOR = "", "bold", "dim", "head", "sorted", "cursor"
GOOD, BUSY, BAD = "good", "busy", "bad"
STATE_STYLES = {
    "RUNNING": GOOD,
    "STARTING": BUSY,
    "STOPPING": BUSY,
    "BACKOFF": BAD,
    "FATAL": BAD,
    "UNKNOWN": BAD,
    "EXITED": NORMAL,
    "STOPPED": DIM,
}
#: The least useful width of a name and of a last line, in cells.
NAME_MIN = 10
LAST_LINE_MIN = 20
#: Lines besides the rows: identity, totals, titles, prompt.
FRAME = 4
#: The pane takes at most the height divided by this.
PANE_SHARE = 2


def render(top: Top, width: int, height: int) -> list[Line]:
    """Compose at most ``height`` lines of at most ``width`` cells.

    Stores the scroll position in ``top``.
    """
    compose = _help if top.helping else _table
    return [_clipped(line, width) for line in compose(top, width, height)]


def _table(top: Top, width: int, height: int) -> list[Line]:
    pane = _pane(top, width, (height - FRAME) // PANE_SHARE) if top.details else []
    rows = max(1, height - FRAME - len(pane))
    columns = _layout(width, max((cells(row.name) for row in top.table.all_rows), default=0))
    lines = [_identity(top, width), _totals(top), _titles(top, columns, width)]
    lines += _rows(top, columns, rows, width)
    lines += [[] for _ in range(FRAME - 1 + rows - len(lines))]
    # On a terminal with very few lines the prompt must stay visible.
    return [*[*lines, *pane][: height - 1], _bottom(top, width)][-height:]


def _layout(width: int, longest_name: int) -> list[tuple[Column, int]]:
    """Choose the columns that fit and their widths, from left to right, with a blank in between.

    The name gets the width it needs, up to a third of the terminal, or on a narrow terminal the
    remaining width. The last output gets the remaining width if that is enough to be useful.
    """
    name = max(NAME_MIN, min(longest_name, width // 3))
    left = width - name
    chosen = {NAME: name}
    for column in sorted(COLUMNS[1:-1], key=lambda column: column.rank):
        if left >= column.width + 1:
            chosen[column] = column.width
            left -= column.width + 1
    if left > LAST_LINE_MIN:
        chosen[LAST_LINE] = left - 1
    else:
        chosen[NAME] += min(left, max(0, longest_name - name))
    return [(column, chosen[column]) for column in COLUMNS if column in chosen]


def _clipped(spans: Line, width: int) -> Line:
    line: Line = []
    for text, style in spans:
        clipped = clip(text, width)
        line.append((clipped, style))
        if clipped != text:
            break
        width -= cells(text)
    return line


def _identity(top: Top, width: int) -> Line:
    rows = top.table.all_rows
    cpu, memory = sum(row.cpu or 0 for row in rows), sum(row.memory for row in rows)
    right = f"  CPU {cpu:.1f}%  MEM {size(memory)}  {top.time}"
    if len(right) > width // 2:
        right = ""
    room = width - len(right)
    if top.lost:
        return [(fit(f"reconnecting: {top.lost}", room), BAD), (right, DIM)]
    return [(fit(top.identity, room), BOLD), (right, NORMAL)]


def _totals(top: Top) -> Line:
    table = top.table
    count = len(table.all_rows)
    shown = f"{len(table.rows)} shown of {count}" if table.filter else f"{count} in all"
    line: Line = [(f"{shown}:", NORMAL)]
    for state, number in table.totals:
        line += [(" ", NORMAL), (f"{number} {state}", STATE_STYLES[state])]
    return _dimmed(line) if top.lost else line


def _titles(top: Top, columns: list[tuple[Column, int]], width: int) -> Line:
    line: Line = []
    for column, cells_wide in columns:
        style = SORTED if column is top.table.sort else HEAD
        line += [(fit(column.title, cells_wide, right=column.right), style), (" ", HEAD)]
    line.pop()
    line.append((" " * (width - sum(cells(text) for text, _ in line)), HEAD))
    return line


def _rows(top: Top, columns: list[tuple[Column, int]], count: int, width: int) -> list[Line]:
    table = top.table
    if not table.rows:
        return [[(_nothing(top), DIM)]]
    top.page = count
    # Scroll only as far as needed to show the selected row.
    top.first = max(min(top.first, table.position, len(table.rows) - count), 0)
    top.first = max(top.first, table.position - count + 1)
    return [_row(row, columns, width, top) for row in table.rows[top.first : top.first + count]]


def _nothing(top: Top) -> str:
    if top.table.filter:
        return f"no name contains {top.table.filter!r}; Esc shows all"
    return "no processes" if top.identity else "waiting for the daemon"


def _row(row: Row, columns: list[tuple[Column, int]], width: int, top: Top) -> Line:
    line: Line = []
    left = width
    for column, cells_wide in columns:
        if (column.usage or column is LAST_LINE) and not row.alive:
            last = f" | {row.last_line}" if row.last_line else ""
            line.append((fit(row.reason + last, left), NORMAL))  # in place of the other columns
            break
        text = fit(column.text(row), cells_wide, right=column.right)
        line += [(text, _style(row, column)), (" ", NORMAL)]
        left -= cells_wide + 1
    else:
        line.pop()
        line.append((" " * (left + 1), NORMAL))
    if top.lost:
        line = _dimmed(line)
    if row.name == top.table.selected:
        return [(text, f"{CURSOR} {style}") for text, style in line]
    return line


def _style(row: Row, column: Column) -> str:
    if column is STATE:
        return STATE_STYLES[row.state]
    return BOLD if column is NAME and row.is_recent else NORMAL


def _dimmed(line: Line) -> Line:
    """Dim a line that shows the last known state because the daemon does not answer."""
    return [(text, DIM) for text, _ in line]


def _pane(top: Top, width: int, most: int) -> list[Line]:
    """The pane of the selected process: the reason for its state and the end of its output."""
    row = top.table.row
    if row is None or most < 1:
        return []
    details = row.details
    facts = f" {row.name}: {row.state} {plain(details['description'])}"
    lines: list[Line] = [[(fit(facts, width), HEAD)]]
    if row.reason:
        lines.append([(row.reason, BOLD)])
    if row.alive and details.get("limits"):
        lines.append([(fit(details["limits"], width), DIM)])
    if adopted := details.get("adopted"):
        lines.append([(fit(adopted, width), DIM)])
    if pids := details.get("left_behind"):
        text = f"has left processes behind: pid {', '.join(map(str, pids))}"
        lines.append([(fit(text, width), BOLD)])
    output = [plain(line) for line in details["last_output"].rstrip().splitlines()]
    room = most - len(lines)
    if room > 0:
        lines += [[(line, NORMAL)] for line in output[-room:]]
        if not output:
            lines.append([("no output so far", DIM)])
    return lines[:most]


def _bottom(top: Top, width: int) -> Line:
    if top.prompt:
        # The end of the typed text must stay visible.
        typed, room = top.typed, width - cells(top.prompt) - 1
        while typed and cells(typed) > room:
            typed = typed[1:]
        return [(top.prompt, BOLD), (typed, NORMAL)]
    if top.notice:
        return [(plain(top.notice), BAD if top.alarming else BOLD)]
    return [(HINTS, DIM)]


def _help(top: Top, width: int, height: int) -> list[Line]:
    title: Line = [(fit("Keys of top", width), HEAD)]
    rows: list[Line] = [
        [(f"  {written:<12}", BOLD), (text, NORMAL)] for _, written, text, _ in KEYS if written
    ]
    return [*[title, *rows][: height - 1], [("any key goes back", DIM)]]
