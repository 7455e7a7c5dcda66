"""Require that a finished audit can be recomputed, before anything is decided by its figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.recompute import plan_of, recompute
from imindex.retrieval.audit.run import Compute, Run, Workspace


def require_verified(
    folder: Path,
    *,
    device: str = "auto",
    trust_encoders: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Recompute an audit as `imindex verify --results` does, and refuse it if anything differs.

    Parameters
    ----------
    folder : Path
        Of the audit. Its plan is beside it.
    device : str
    trust_encoders : bool
        Load whatever encoder the plan beside the audit names.
    note : callable
        Called with a message before and after.

    Raises
    ------
    ImindexError
        The audit cannot be recomputed, or differs from what is recomputed.
    """
    note(f"Recomputing the audit in {folder}.")
    compute = Compute(device, trust_encoders=trust_encoders)
    again = recompute(Run(read_plan(plan_of(folder)), Workspace(folder, keeps=False), compute))
    if again.faults:
        first = again.faults[0]
        raise ImindexError(
            f"{folder} does not pass verification, so it was not compared: {first.where}: {first.said}. "
            f"`imindex verify --results {folder}` lists all faults."
        )
    note(f"The audit in {folder} was recomputed: {again.figures:,} values agree.")
