"""Artists' names that are malicious in paths, pages, tables and terminals."""

from __future__ import annotations

HOSTILE = [
    'Ada "Quote" O\'Neil', "<script>alert(1)</script>", "a/b/../../etc/passwd", "..", ".hidden", "C:\\con",
    "CON", "nul.txt",
    "🎨🖌️", "محمد الفنان", "‮evil", "=HYPERLINK(1)", "x" * 300, "Ada", "ada", "ADA", "Å",
    "{artist}", "{0}%s", "name.",
    "e\u0301",
    "-rf", "~", "$(rm -rf)", "a" * 41, "a" * 42, "張大千",
]  # fmt: skip
