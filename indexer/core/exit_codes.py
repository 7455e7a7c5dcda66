"""Exit codes of all commands."""

from __future__ import annotations

DONE, FAILED, USAGE, REFUSED, UNDECIDED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143
MEANINGS = {
    DONE: "done, and every condition and check passed",
    FAILED: "could not: the message names the cause and the remedy",
    USAGE: "wrong usage, or a question that was not confirmed",
    REFUSED: "a condition of a gate failed, or a check found a fault",
    UNDECIDED: "a condition could not be decided, or not all was compared",
    INTERRUPTED: "interrupted by Ctrl-C (143 by SIGTERM); what is kept is said",
}
"""What each code means, as shown by `imindex --help`. Where several fit, a command ends with the first of 130, 2, 1, 3
and 4."""
