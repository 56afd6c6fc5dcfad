"""A progress bar in one line of text."""

from __future__ import annotations

import os
import shutil
import sys
import time

__all__ = ["Progbar"]


def write(text):
    """Write to standard output at once, in characters that it knows."""
    stream = sys.stdout
    if stream is None:      # a process without a console
        return
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(text.replace(FULL, "=").replace(EMPTY, "-").encode("ascii", "replace").decode())
    stream.flush()


FULL, EMPTY = "━", "─"


def is_live() -> bool:
    """Whether a line can be overwritten: on a terminal, in a notebook, in an IDE's console."""
    stream = sys.stdout
    if stream is None:
        return False
    if type(stream).__module__.split(".")[0] in ("ipykernel", "colab"):     # a notebook's cell understands \r
        return True
    return bool(getattr(stream, "isatty", bool)()) or "PYCHARM_HOSTED" in os.environ


class Progbar:
    """A bar with the time left and the values of metrics.

    Parameters
    ----------
    target: int or None
        How many steps there will be; None if not known.
    width: int
        Characters of the bar; default 20.
    verbose: int
        0: nothing. 1: a line that is written over again and again where that is possible, and otherwise once
        at the end. 2: one line at the end.
    interval: float
        Seconds between two changes of the line at least; default 0.05.
    stateful_metrics: iterable of str, optional
        Names of values that are shown as they are; of all others the mean over the steps is shown.
    stateless_metrics: iterable of str, optional
        The other way round: names of values of which the mean is shown; all others are shown as they are.
    unit_name: str
        What a step is called; default "step".

    Raises
    ------
    ValueError
        If both `stateful_metrics` and `stateless_metrics` are given.
    """

    def __init__(self, target, width=20, verbose=1, interval=0.05, stateful_metrics=None,
                 stateless_metrics=None, unit_name="step"):
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError("Give stateful_metrics or stateless_metrics, not both: each says the other.")
        self.target, self.width, self.verbose = target, width, verbose
        self.interval, self.unit_name = interval, unit_name
        self._shown_as_is = None if stateless_metrics is not None else set(stateful_metrics or ())
        self._averaged = None if stateless_metrics is None else set(stateless_metrics)
        self._live = verbose == 1 and is_live()
        self._values: dict = {}         # name -> (sum, weight)
        self._seen = 0
        self._start = time.perf_counter()
        self._first = None              # when the first step was over: it is slower than the others
        self._last_shown = float("-inf")
        self._line_length = 0

    def update(self, current, values=None, finalize=None):
        """Show that `current` steps are done.

        values: pairs (name, value of the last step). finalize: whether this is the last update; default:
        whether the target is reached.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        now = time.perf_counter()
        if current == 1 and self._first is None:
            self._first = now
        due = finalize or self._live and now - self._last_shown >= self.interval
        if due or self._averaged != set():      # otherwise the values come again with the next update
            for name, value in values or ():
                self._take(name, value, max(current - self._seen, 1), finalize)
        self._seen = current
        if not self.verbose or not due:
            return
        self._last_shown = now
        if self._live:
            self._rewrite(self._line(current, now, finalize), finalize)
        elif finalize:
            write(self._line(current, now, True) + "\n")

    def add(self, n, values=None):
        """Show that `n` more steps are done."""
        self.update(self._seen + n, values)

    def close(self):
        """End the line, for a bar that stops before its target."""
        if self._live and self._line_length:
            write("\n")
            self._line_length = 0

    def _take(self, name, value, weight, finalize):
        as_is = name in self._shown_as_is if self._shown_as_is is not None else name not in self._averaged
        total, count = (0.0, 0) if as_is or finalize else self._values.get(name, (0.0, 0))
        weight = 1 if as_is or finalize else weight
        self._values[name] = (total + float(value) * weight, count + weight)

    def _line(self, current, now, finalize):
        elapsed = now - self._start
        if self._first is not None and current > 1:
            per_step = (now - self._first) / (current - 1)
        else:
            per_step = elapsed / current if current else 0.0
        if not self.target:
            head = f"{current}/Unknown"
        else:
            digits = len(str(self.target))
            head = f"{current:{digits}d}/{self.target}"
            if self.verbose == 1:
                done = min(self.width, int(self.width * current / self.target))
                head += " " + FULL * done + EMPTY * (self.width - done)
        seconds = per_step * (self.target - current) if self.target and not finalize else elapsed
        left = " left" if self.target and not finalize else ""
        parts = [f"{head} {clock(seconds)}{left} {duration(per_step)}/{self.unit_name}"]
        for name, (total, count) in self._values.items():
            mean = total / max(count, 1)
            parts.append(f"{name}: {mean:.4f}" if abs(mean) > 1e-3 or mean == 0 else f"{name}: {mean:.4e}")
        return " - ".join(parts)

    def _rewrite(self, line, finalize):
        if not finalize:
            # A line that wraps cannot be written over.
            line = line[:max(shutil.get_terminal_size().columns - 1, 20)]
        write("\r" + line + " " * (self._line_length - len(line)) + ("\n" if finalize else ""))
        self._line_length = 0 if finalize else len(line)


def clock(seconds) -> str:
    """``"7s"``, ``"1:07"``, ``"2:01:07"``."""
    seconds = int(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d}"
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def duration(seconds) -> str:
    """``"2s"``, ``"13ms"``, ``"80us"``."""
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"
