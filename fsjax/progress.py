"""Progress of long work: a bar on a terminal, plain log lines elsewhere."""

import logging
import sys
import time

from tqdm import tqdm

from fsjax import distributed

LOG = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 15


class Progress:
    """Shows how far some work is, with its rate and the time left; of several processes, the first does.

    Args:
      label: what is being done.
      total: how many units there are.
      unit: what a unit is called.
      start: how many were done before.
    """

    def __init__(self, label: str, total: int, unit: str = "step", start: int = 0):
        self._label, self._total, self._unit, self._first, self._done = label, total, unit, start, start
        self._began = self._said = time.monotonic()
        self._silent = not distributed.is_main()
        terminal = sys.stderr.isatty() and not self._silent
        self._bar = tqdm(desc=label, total=total, unit=unit, initial=start) if terminal else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, count: int = 1, **values: float) -> None:
        """Counts units as done; `values` are shown beside the bar or in the line."""
        self._done += count
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
            self._bar.update(count)
            return
        now = time.monotonic()
        if self._silent or (now - self._said < SECONDS_BETWEEN_LINES and self._done < self._total):
            return
        self._said = now
        rate = (self._done - self._first) / max(now - self._began, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        shown = "".join(f", {name} {value:.3g}" for name, value in values.items())
        LOG.info(
            "%s: %d of %d %ss, %.1f a second, %.0f s left%s",
            self._label, self._done, self._total, self._unit, rate, left, shown,
        )  # fmt: skip

    def reach(self, count: int, **values: float) -> None:
        """Counts everything up to this unit as done."""
        self.update(count - self._done, **values)
