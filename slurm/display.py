"""Live table on a terminal while a sweep runs; elsewhere one line as each run ends."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.live import Live
from rich.text import Text

from benchmarks.runs.plain_text import printable
from benchmarks.sweep.live import live
from benchmarks.sweep.members import look_for

LOOK_SHARE = 0.1  # largest share of the time spent reading run folders


@contextmanager
def display(out: Path, table: bool = True) -> Iterator[Callable[[str], None]]:
    """Yield a function that prints a line, while a live table shows the runs of `out`.

    Without `table` no table is drawn: runs in this process print their own progress.
    """
    if not (table and sys.stdout.isatty()):
        yield lambda text: print(printable(text), flush=True)
        return
    with Live(get_renderable=Table(out).text, refresh_per_second=2) as shown:
        yield lambda text: shown.console.print(printable(text), markup=False, highlight=False)


class Table:
    """The lines of `benchmarks.sweep.live`, refreshed as often as is cheap."""

    def __init__(self, out: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._clock = out, clock
        self._text, self._next = "", 0.0

    def text(self) -> Text:
        """The current table, as wide as the terminal."""
        start = self._clock()
        if start >= self._next:
            lines = live(look_for(self._out).members, shutil.get_terminal_size().columns)
            self._text = printable("\n".join(lines))
            end = self._clock()
            self._next = end + max(1.0, (end - start) / LOOK_SHARE)
        return Text(self._text, no_wrap=True, overflow="crop")
