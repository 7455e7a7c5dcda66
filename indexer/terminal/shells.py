"""The completion scripts of the shells, for names that contain spaces, quotes or commas."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
)

_BREAKS = " \t\n\"'><=;|&(:"
"""Characters at which bash begins a new word, unless it is told others."""
_BASH = """\
%(complete_func)s() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
            plain,*) COMPREPLY+=("${line#plain,}") ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" %(complete_var)s=bash_complete $1)
    return 0
}

%(complete_func)s_setup() {
    complete -o nosort -F %(complete_func)s %(prog_name)s
}

%(complete_func)s_setup;
"""


@dataclass(frozen=True)
class Word:
    """A word of a command line of bash, up to the cursor.

    Attributes
    ----------
    text : str
        The word without its quotes.
    quote : str
        The quote that is still open at its end: empty, a single one or a double one.
    given : int
        The length of the part of `text` before that which bash replaces: what precedes an open quote, or the last
        unquoted character at which bash begins a new word.
    """

    text: str
    quote: str = ""
    given: int = 0


def bash_words(line: str, breaks: str = _BREAKS) -> list[Word]:
    """Split a command line up to the cursor into words; the last one is empty after a space.

    Parameters
    ----------
    line : str
    breaks : str
        The variable COMP_WORDBREAKS.
    """
    words: list[Word] = []
    text, quote, given, inside, escaped = "", "", 0, False, False
    for character in line:
        if escaped:
            # In double quotes, a backslash escapes only these.
            text += character if quote != '"' or character in '"\\$`' else f"\\{character}"
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = inside = True
        elif quote:
            if character == quote:
                quote = ""
            else:
                text += character
        elif character in "'\"":
            quote, given, inside = character, len(text), True
        elif character.isspace():
            if inside:
                words.append(Word(text))
            text, given, inside = "", 0, False
        else:
            text, inside = text + character, True
            if character in breaks:
                given = len(text)
    return [*words, Word(text, quote, given)]


def bash_quoted(value: str, word: Word) -> str:
    """Return what bash puts in place of a word so that it becomes `value`."""
    rest = value[word.given :]
    if word.quote == "'":
        return rest.replace("'", "'\\''")
    if word.quote:
        return re.sub(r'(["\\$`])', r"\\\1", rest)
    return re.sub(r"""([\s"'\\$`&|;()<>*?\[\]{}!#~])""", r"\\\1", rest)


class _Bash(BashComplete):
    """Bash, whose version is not asked for: the script may be written on another machine."""

    source_template = _BASH
    _word = Word("")

    @staticmethod
    def _check_version() -> None:
        pass

    def get_completion_args(self) -> tuple[list[str], str]:
        if "COMP_LINE" not in os.environ:  # a script of an earlier version
            return super().get_completion_args()
        words = bash_words(os.environ["COMP_LINE"], os.environ.get("COMP_WORDBREAKS", _BREAKS))
        while len(words) > 2 and re.match(r"\w+=", words[0].text):  # variables before the command
            words = words[1:]
        self._word = words[-1]
        args, last = [word.text for word in words[1:-1]], self._word.text
        if (option := re.match(r"(--[\w-]+)=", last)) and self._word.given >= option.end():
            self._word = Word(last[option.end() :], self._word.quote, self._word.given - option.end())
            return [*args, option[1]], self._word.text
        return args, last

    def format_completion(self, item: CompletionItem[Any]) -> str:
        value = item.value if item.type != "plain" else bash_quoted(item.value, self._word)
        return f"{item.type},{value}"


class _Fish(FishComplete):
    """Fish, which quotes what it completes; a value may contain commas."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


SHELLS: dict[str, type[Any]] = {"bash": _Bash, "zsh": ZshComplete, "fish": _Fish}
"""What writes the script of each shell, and answers it. Zsh quotes what it completes."""


def use_shells() -> Sequence[str]:
    """Let click answer by `SHELLS`; return their names."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
    return tuple(SHELLS)
