"""The designers besides the 70: who `scripts/fetch-designers --others` may fetch, and what each is for.

Every designer has one role, fixed before any training:

- `evaluation`: 70 designers that neither the demo's CLIP nor its style encoder has seen.
- `validation`: 14 designers for the choice of settings, in neither set.
- `training`: further icon sets for the style encoder. Each set is a label of its own, because one company's sets
  often differ in style. Sets that derive from another designer's set, and sets of companies with several, are here.

Few persons are left beside the 70, so studios and teams count as designers too, with one icon set each.
"""

from __future__ import annotations

import hashlib
import re

N_EVALUATION, N_VALIDATION = 70, 14
MAX_EVALUATION = 60
MIN_EVALUATION = 7
MAX_TRAINING = 200
COPIED = 0.2  # more near-identical pictures than this share, and a designer is not unseen; simple shapes give 5 to 15 %

# Prefixes of @iconify/json, one set per studio, team or person. Left out: logos, flags, GPL, MPL and NC terms, maki and
# heroicons (relatives of sets by two of the 70).
UNSEEN_SETS = frozenset(
    re.findall(
        r"\S+",
        """
    solar eva meteocons bitcoin-icons bpmn catppuccin codex basil flat-ui ep formkit octicon pajamas grommet-icons pixel
    hugeicons carbon il iconmind oi rivet-icons iwwa websymbol keyline-icons lineicons nimbus mage marketeq mi nrk
    ooui oui ph picon stash prime reicon ri healthicons ix si-glyph cuida tdesign vs el bi flowbite
    topcoat clarity vaadin weui whh lsicon radix-icons gravity-ui ginetex garden foundation dinkie-icons line-md
    mingcute fontelico boxicons uil pepicons-print memory game-icons flat-color-icons eos-icons
    """,
    )
)
# Sets that the style encoder may learn from, beside the 70 designers.
TRAINING_SETS = frozenset(
    re.findall(
        r"\S+",
        """
    icon-park-outline icon-park-solid icon-park-twotone icon-park fluent fluent-color codicon fluent-mdl2
    famicons lucide material-symbols material-symbols-light ic zmdi
    streamline-ultimate streamline-plump streamline-sharp streamline-cyber streamline-pixel streamline-block
    streamline-freehand streamline streamline-flex streamline-ultimate-color streamline-plump-color
    streamline-freehand-color streamline-kameleon-color streamline-stickies-color streamline-color
    streamline-flex-color streamline-sharp-color streamline-cyber-color
    noto twemoji openmoji fluent-emoji fluent-emoji-flat fluent-emoji-high-contrast fxemoji emojione emojione-monotone
    streamline-emojis
    """,
    )
)


def order(designer: str) -> str:
    """Sort key with a fixed pseudo-random order of designers."""
    return hashlib.sha256(f"others|{designer}".encode()).hexdigest()


def roles(designers: dict[str, bool]) -> dict[str, str]:
    """Give each designer that may be unseen a role.

    Parameters
    ----------
    designers : dict of str to bool
        Names, and whether it is a person.

    Returns
    -------
    dict of str to str
        `evaluation`, `validation` or, for those beyond 84, `spare`: in no set. Validation is drawn first, one
        quarter of it persons; the evaluation set takes persons before studios.
    """
    persons = sorted((name for name, person in designers.items() if person), key=order)
    studios = sorted((name for name, person in designers.items() if not person), key=order)
    n_persons = min(N_VALIDATION // 4, len(persons))
    validation = persons[:n_persons] + studios[: N_VALIDATION - n_persons]
    rest = persons[n_persons:] + studios[N_VALIDATION - n_persons :]
    given = dict.fromkeys(validation, "validation")
    given.update(dict.fromkeys(rest[:N_EVALUATION], "evaluation"))
    given.update(dict.fromkeys(rest[N_EVALUATION:], "spare"))
    return given
