"""The section about the further releases in the model card, which another script writes around it."""

from __future__ import annotations

from pathlib import Path

HEADING = "\n## Further releases\n"


def section_of(card: Path) -> str:
    """Return the section of a model card about the further releases, or nothing if it has none."""
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    _, heading, section = text.partition(HEADING)
    return heading + section


def put_section(card: Path, section: str) -> None:
    """Replace the last section of a model card, or append it. `section` begins with the heading."""
    before = card.read_text(encoding="utf-8").partition(HEADING)[0]
    card.write_text(before + HEADING + section.partition(HEADING)[2], encoding="utf-8")
