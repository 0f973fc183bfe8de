"""What a user sees on stderr while a search runs, if they ask to."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """A bar where tqdm is installed, else plain lines; silent unless verbose.

    Parameters
    ----------
    n_trials : int
        Trials the search may come to.
    verbose : bool or int
        0 is silent; 1 shows the bar, or one line per round; 2 adds one line per
        trial.
    """

    def __init__(self, n_trials: int, verbose: bool | int) -> None:
        self._verbose = int(verbose)
        self._bar: Any = None
        if self._verbose:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=n_trials, desc="search", unit="trial", leave=True)

    def expect(self, n_trials: int) -> None:
        """Let the bar end at other than the trials that there were to be."""
        if self._bar is not None:
            self._bar.total = n_trials
            self._bar.refresh()

    def trial(self, architecture: object, score: float, best: float) -> None:
        """Show one more trial."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"best={best:.4f}", refresh=False)
            self._bar.update()
        if self._verbose > 1:
            self._line(f"score {score:.4f}  {architecture}")

    def round(self, number: int, n_rounds: int, n_trials: int, best: float) -> None:
        """Show the end of a round."""
        if self._verbose and self._bar is None:
            self._line(
                f"round {number}/{n_rounds}: {n_trials} trials, best score {best:.4f}"
            )

    def stage(self, text: str) -> None:
        """Announce what comes after the search."""
        self.close()
        self.note(text)

    def note(self, text: str) -> None:
        """Say something beside the bar."""
        if self._verbose:
            self._line(text)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(f"[sknas] {text}", file=sys.stderr)
        else:
            print(f"[sknas] {text}", file=sys.stderr)  # noqa: T201 (asked for)
