"""The origin of an artist's name: as stated by the caller, or guessed from the name itself."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imindex.indexer.generate.name_banks import BANKS, PARTICLES
from imindex.indexer.generate.name_likeness import fold

UNKNOWN = ""
"""The origin of a name for which there is no list of names."""

STATED = "stated"

ALIASES = {
    "english": "american australian british canadian english irish scottish welsh uk usa us gb",
    "french": "belgian breton france french walloon fr",
    "german": "austrian german germany swiss de at ch",
    "dutch": "dutch flemish netherlandish netherlands nl",
    "nordic": "danish denmark icelandic norwegian norway scandinavian swedish sweden dk no se is",
    "finnish or baltic": "estonian finland finnish latvian lithuanian fi ee lv lt",
    "italian": "italian italy it",
    "spanish": (
        "argentine argentinian basque catalan chilean colombian cuban mexican mexico peruvian spain spanish "
        "uruguayan venezuelan es mx ar"
    ),
    "portuguese": "brazil brazilian galician portugal portuguese pt br",
    "west slavic": "bohemian czech poland polish slovak sorbian pl cz sk",
    "east slavic": "belarusian russia russian ukraine ukrainian ru ua by",
    "balkan": (
        "albanian bosnian bulgarian croatian macedonian montenegrin serbian slovene slovenian yugoslav bg hr rs si"
    ),
    "hungarian": "hungarian hungary hu",
    "romanian": "moldovan romania romanian ro",
    "greek": "cypriot greece greek gr",
    "turkic": "azerbaijani kazakh kyrgyz turkey turkish uzbek tr",
    "caucasian": "armenian georgian am ge",
    "arabic": "algerian arab arabic egyptian iraqi lebanese moroccan palestinian syrian tunisian",
    "persian": "afghan iran iranian persian",
    "hebrew": "hebrew israel israeli jewish",
    "south asian": "bangladeshi india indian nepalese nepali pakistani tamil tibetan lk in",
    "japanese": "japan japanese jp",
    "chinese": "china chinese taiwanese cn tw",
    "korean": "korea korean kr",
    "vietnamese": "vietnam vietnamese vn",
    "west african": "beninese ghanaian ivorian malian nigerian senegalese ng gh",
    "east or southern african": "congolese ethiopian kenyan ugandan zambian zimbabwean zulu",
}
"""Other words for each origin, as they may be in a column `origin`. Lower case, separated by spaces."""

_ENDINGS = (
    ("poulos", "greek"), ("akis", "greek"), ("idis", "greek"), ("oglu", "turkic"), ("yan", "caucasian"),
    ("shvili", "caucasian"), ("adze", "caucasian"), ("escu", "romanian"), ("enko", "east slavic"),
    ("ovsky", "east slavic"), ("evsky", "east slavic"), ("skaya", "east slavic"), ("owski", "west slavic"),
    ("ewski", "west slavic"), ("ska", "west slavic"), ("ski", "west slavic"), ("czyk", "west slavic"),
    ("ova", "west slavic"), ("ovic", "balkan"), ("evic", "balkan"), ("ovski", "balkan"), ("ov", "east slavic"),
    ("ev", "east slavic"), ("sson", "nordic"), ("sen", "nordic"), ("qvist", "nordic"), ("strom", "nordic"),
    ("nen", "finnish or baltic"), ("auskas", "finnish or baltic"), ("evicius", "finnish or baltic"),
    ("bauer", "german"), ("mann", "german"), ("stein", "german"), ("huizen", "dutch"), ("stra", "dutch"),
    ("sma", "dutch"), ("eiro", "portuguese"), ("inho", "portuguese"), ("ez", "spanish"), ("etti", "italian"),
    ("elli", "italian"), ("ini", "italian"), ("ucci", "italian"), ("eau", "french"), ("eux", "french"),
    ("ault", "french"), ("thwaite", "english"), ("worth", "english"), ("ington", "english"), ("moto", "japanese"),
    ("kawa", "japanese"), ("zaki", "japanese"), ("shima", "japanese"), ("mura", "japanese"), ("yama", "japanese"),
)  # fmt: skip
"""Endings of surnames; the first that fits counts."""
_LEAST_STEM = 3

_OF_PARTICLE = {
    "van": "dutch", "van't": "dutch", "ter": "dutch", "ten": "dutch", "von": "german", "vom": "german", "zu": "german",
    "zum": "german", "du": "french", "des": "french", "di": "italian", "dei": "italian", "della": "italian",
    "da": "portuguese", "do": "portuguese", "dos": "portuguese", "y": "spanish", "del": "spanish", "af": "nordic",
    "bin": "arabic", "ibn": "arabic", "al": "arabic",
}  # fmt: skip

_COMMON = {
    "english": ("Emily Elizabeth Jane Mary", "George Henry James John William Thomas Charles Edward Greg Andrew"),
    "french": (
        "Berthe Camille Genevieve Marie Suzanne",
        "Claude Edouard Francois Georges Gustave Henri Jacques Jean Louis Philippe Pierre",
    ),
    "german": ("Hannah Kathe Paula", "Caspar Ernst Friedrich Hans Heinrich Johann Karl Wilhelm Wolfgang"),
    "dutch": ("Clara Rachel", "Gerrit Jacob Johannes Meindert Piet Pieter Willem Hendrick Joos"),
    "nordic": ("Anna Helene Hilma", "Akseli Bruno Carl Edvard Peder Vilhelm"),
    "italian": (
        "Artemisia Elisabetta Giovanna Lavinia Sofonisba",
        "Alessandro Andrea Antonio Bartolomeo Domenico Filippo Francesco Giacomo Giorgio Giovanni Giuseppe Guido "
        "Leonardo Lorenzo Luca Paolo Piero Pietro Tommaso",
    ),
    "spanish": ("Frida Maruja Remedios", "Diego Francisco Joaquin Jose Juan Luis Miguel Pablo Salvador"),
    "portuguese": ("Beatriz Tarsila", "Candido Jose Amadeo"),
    "west slavic": ("Agnieszka Olga Toyen", "Alfons Frantisek Jacek Jozef Krzysztof Tomas Vaclav Wojciech Zdzislaw"),
    "east slavic": (
        "Natalia Olga Zinaida",
        "Aleksandr Aleksei Alexei Dmitri Ilya Ivan Konstantin Mikhail Nikolai Vasily",
    ),
    "japanese": ("Yayoi", "Hiroshi Kenji Makoto Takashi Yoshitaka"),
}  # fmt: skip
"""Frequent given names, feminine and masculine, that help to guess. Placebo names are not drawn from them."""

_SCRIPTS = (
    ("HIRAGANA", "japanese"), ("KATAKANA", "japanese"), ("HANGUL", "korean"),
    ("GREEK", "greek"), ("ARMENIAN", "caucasian"), ("GEORGIAN", "caucasian"), ("HEBREW", "hebrew"),
    ("DEVANAGARI", "south asian"), ("BENGALI", "south asian"), ("TAMIL", "south asian"), ("ARABIC", "arabic"),
    ("CYRILLIC", "east slavic"), ("ETHIOPIC", "east or southern african"),
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """The origin of one artist's name.

    Attributes
    ----------
    artist : str
    origin : str
        A key of `imindex.indexer.generate.name_banks.BANKS`; empty if unknown.
    source : str
        "stated", or what the guess rests on.
    gender : str
        Form of the given name where the list of its origin has it: feminine, masculine, or empty.
    """

    artist: str
    origin: str
    source: str
    gender: str


def origins_of(artists: Sequence[str], stated: Mapping[str, str] | None = None) -> list[Origin]:
    """Find the origin of every artist's name.

    Parameters
    ----------
    artists : sequence of str
    stated : mapping from artist to str, optional
        Origins known to the caller: a key of `BANKS`, or one of the words of `ALIASES`, in any case. An empty value
        asks for a guess. A value that is not known is an unknown origin; its `source` says so.

    Returns
    -------
    list of Origin
        In the order of the artists.

    Notes
    -----
    A guess is made from the name alone: by its script, by a surname in `name_banks`, by the ending of the surname, by a
    particle such as "von", or by a given name, in this order. It is about the name, not about where the artist lives or
    was born.

    Examples
    --------
    >>> [(one.origin, one.source) for one in origins_of(["Jan Kowalczyk", "Ada Example"])]
    [('west slavic', 'surname Kowalczyk in the lists of names'), ('', 'no list or ending fits')]
    >>> origins_of(["Ada Example"], {"Ada Example": "Polish"})[0].origin
    'west slavic'
    """
    stated = stated or {}
    return [_origin(artist, stated.get(artist, "").strip()) for artist in artists]


def _origin(artist: str, stated: str) -> Origin:
    if stated:
        origin = canonical(stated)
        source = (
            STATED if origin or _is_unknown(stated) else f"stated as {stated!r}, which has no list of names"
        )
    else:
        origin, source = _guess(artist)
    return Origin(artist, origin, source, gender_of(artist, origin))


def _is_unknown(stated: str) -> bool:
    return stated.casefold() in ("unknown", "none", "?")


def canonical(stated: str) -> str:
    """Return the origin that a word stands for, or an empty text.

    Examples
    --------
    >>> canonical("Flemish"), canonical("West Slavic"), canonical("Martian")
    ('dutch', 'west slavic', '')
    """
    word = " ".join(stated.casefold().split())
    if word in BANKS:
        return word
    return next((origin for origin, words in ALIASES.items() if word in words.split()), UNKNOWN)


def gender_of(artist: str, origin: str) -> str:
    """Return the form of the given name: "feminine", "masculine", or empty if it has both or is not listed.

    If the origin is unknown or its list lacks the name, all lists are searched, and they must agree.
    """
    banks = [BANKS[origin]] if origin else []
    for chosen in (banks, list(BANKS.values())):
        forms = {
            form
            for bank in chosen
            for form in ("feminine", "masculine")
            for word in _names(artist)
            if word in {fold(name) for name in getattr(bank, form)}
        }
        if len(forms) == 1:
            return forms.pop()
    first = _names(artist)[:1]
    forms = {
        form
        for lists in _COMMON.values()
        for form, words in zip(("feminine", "masculine"), lists, strict=True)
        if set(first) & {fold(word) for word in words.split()}
    }
    return forms.pop() if len(forms) == 1 else ""


def _names(artist: str) -> list[str]:
    return [fold(word) for word in artist.split() if word not in PARTICLES]


def _guess(artist: str) -> tuple[str, str]:
    if script := _script(artist):
        return script
    words = [word for word in artist.split() if word not in PARTICLES]
    surnames, given = _by_word()
    for word in dict.fromkeys((*words[-1:], *words[:1])):
        if len(origins := surnames.get(fold(word), ())) == 1:
            return origins[0], f"surname {word} in the lists of names"
    last = fold(words[-1]) if words else ""
    for ending, origin in _ENDINGS:
        if last.endswith(ending) and len(last) - len(ending) >= _LEAST_STEM:
            return origin, f"ending -{ending}"
    for word in artist.split():
        if word in _OF_PARTICLE:
            return _OF_PARTICLE[word], f"particle {word}"
    for word in (*words[:-1], *words[-1:]):
        if len(origins := given.get(fold(word), ())) == 1:
            return origins[0], f"given name {word} in the lists of names"
    return UNKNOWN, "no list or ending fits"


def _script(artist: str) -> tuple[str, str] | None:
    named = [unicodedata.name(character, "") for character in artist]
    for prefix, origin in _SCRIPTS:
        if any(name.startswith(prefix) for name in named):
            return origin, f"{prefix.capitalize()} letters"
    if any(name.startswith("CJK") for name in named):
        return UNKNOWN, "ideographs, which several languages share"
    return None


@functools.cache
def _by_word() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return the origins of every folded surname and given name."""
    surnames: dict[str, tuple[str, ...]] = {}
    given: dict[str, tuple[str, ...]] = {}
    for origin, bank in BANKS.items():
        for words, table in ((bank.surnames, surnames), (bank.given, given)):
            for word in words:
                folded = fold(word)
                table[folded] = tuple(dict.fromkeys((*table.get(folded, ()), origin)))
        for word in " ".join(_COMMON.get(origin, ())).split():
            folded = fold(word)
            given[folded] = tuple(dict.fromkeys((*given.get(folded, ()), origin)))
    return surnames, given
