"""Find what an audit needs in a folder that is laid out as README says: works, imitations, background, controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.artists_file import names_of
from imindex.indexer.sources.find import find
from imindex.indexer.sources.folder import manifest_in
from imindex.indexer.sources.item import Item

_LISTED = 5


@dataclass(frozen=True)
class FoundRelease:
    """Existing pictures of a release.

    Attributes
    ----------
    name : str
        The collection.
    pictures : str
        Folder or manifest, relative to the folder of the layout.
    names : mapping of str to int
        Number of pictures of each name in the prompts.
    arms : mapping of str to str
        The arm of each name, as far as a manifest says it.
    """

    name: str
    pictures: str
    names: Mapping[str, int]
    arms: Mapping[str, str]

    @property
    def own(self) -> set[str]:
        """The names that no manifest calls anything but an artist."""
        return {name for name in self.names if self.arms.get(name, "own") == "own"}


@dataclass(frozen=True)
class Layout:
    """What a folder holds for an audit. Paths are relative to the folder, empty if there is no such thing.

    Attributes
    ----------
    works, background, control : str
        Folders or manifests.
    artists : mapping of str to int
        Number of works of each artist in `works`.
    others : tuple of str
        Artists in `background`.
    releases : tuple of FoundRelease
        In alphabetical order.
    """

    works: str = ""
    background: str = ""
    control: str = ""
    artists: Mapping[str, int] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    releases: tuple[FoundRelease, ...] = ()

    @property
    def tested(self) -> tuple[str, ...]:
        """The artists with works, and with imitations in every release that is `used`; without releases, all."""
        used = [release.own for release in self.releases if release.name in self.used]
        tested = {
            name.casefold(): name for name in reversed(self._candidates) if all(name in own for own in used)
        }
        return tuple(name for name in self._candidates if tested.get(name.casefold()) == name)

    @property
    def _candidates(self) -> list[str]:
        """The artists with works whom a plan can name, and who are not in the background."""
        return [name for name in self.artists if name not in self.others and _nameable(name)]

    @property
    def used(self) -> tuple[str, ...]:
        """The releases that have imitations of some artists in common; those of most artists come first."""
        common, names = set(self._candidates), []
        usable = [one for one in self.releases if writable(one.name) and writable(one.pictures)]
        for release in sorted(usable, key=lambda one: (-len(one.own & common), one.name)):
            if common & release.own:
                common &= release.own
                names.append(release.name)
        return tuple(sorted(names))

    def without_works(self, release: FoundRelease) -> tuple[str, ...]:
        """Return the names of a release that have no works and no arm: invented names, or further real ones."""
        known = {*self.artists, *self.others}
        return tuple(name for name in release.names if name not in known and name not in release.arms)


def find_layout(folder: Path, note: Callable[[str], None] = lambda _: None) -> Layout:
    """Find works, imitations, background and control pictures in a folder, and the manifests inside.

    A file `manifest.*` in the folder itself lists everything; otherwise each of `works`, `background`, `control` and
    `imitations/RELEASE` is a folder of pictures, or of a manifest.

    Parameters
    ----------
    folder : Path
    note : callable
        Receives what is passed over.

    Raises
    ------
    ImindexError
        If pictures lie where no audit could read them; the message says where they belong.
    """
    manifest = manifest_in(folder)
    if manifest is not None:
        items = list(find([manifest], note=note))
        kinds = {item.kind for item in items}
        releases = tuple(_releases(items, manifest.name))
        of_releases = {release.name for release in releases}
        loose = any(item.kind == "control" and item.collection not in of_releases for item in items)
        return Layout(
            works=manifest.name if "works" in kinds else "",
            background=manifest.name if "background" in kinds else "",
            control=manifest.name if loose else "",
            artists=_counted(items, "works"),
            others=tuple(_counted(items, "background")),
            releases=releases,
        )
    found = {
        kind: list(find([folder / kind], kind=kind, note=note)) if (folder / kind).is_dir() else []
        for kind in ("works", "background", "control")
    }
    releases = tuple(_release_folders(folder, note))
    places = Counter(release.name.casefold() for release in releases)
    twice = [release for release in releases if places[release.name.casefold()] > 1]
    if twice:
        raise ImindexError(
            f"{twice[0].pictures} and {twice[1].pictures} are both of the release {twice[0].name}. Rename one in its "
            "manifest, or move it away."
        )
    return Layout(
        works="works" if found["works"] else "",
        background="background" if found["background"] else "",
        control="control" if found["control"] else "",
        artists=_counted(found["works"], "works"),
        others=tuple(_counted(found["background"], "background")),
        releases=releases,
    )


def _release_folders(folder: Path, note: Callable[[str], None]) -> Iterator[FoundRelease]:
    imitations = folder / "imitations"
    if not imitations.is_dir():
        return
    manifest = manifest_in(imitations)
    if manifest is not None:
        yield from _releases(
            list(find([manifest], kind="imitations", note=note)), f"imitations/{manifest.name}"
        )
        return
    for path in sorted(imitations.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            items = list(find([path], kind="imitations", collection=path.name, note=note))
            releases = list(_releases(items, f"imitations/{path.name}"))
            # A manifest may call its only release as it likes; the names of folders differ.
            yield from [replace(releases[0], name=path.name)] if len(releases) == 1 else releases


def _releases(items: Sequence[Item], pictures: str) -> Iterator[FoundRelease]:
    """Yield the releases of a source that have usable imitations."""
    imitations = [item for item in items if item.kind == "imitations" and not item.blocked]
    for name in sorted({item.collection for item in imitations}):
        own = [item for item in imitations if item.collection == name]
        yield FoundRelease(
            name=name,
            pictures=pictures,
            names=_counted(own, "imitations"),
            arms={item.artist: item.arm for item in own if item.arm},
        )


def _counted(items: Sequence[Item], kind: str) -> dict[str, int]:
    counts = Counter(item.artist for item in items if item.kind == kind and not item.blocked)
    return dict(sorted(counts.items()))


def left_open(layout: Layout) -> list[str]:
    """Say what a plan of this layout leaves open, in sentences: what is missing, and what nobody has stated."""
    said = []
    if not layout.works:
        said.append("There are no works: put them into works/ARTIST, or list them in works/manifest.csv.")
    if not layout.releases:
        said.append(
            "There are no pictures of a release: name a model, or put pictures into imitations/RELEASE/NAME."
        )
    for release in layout.releases:
        if release.name not in layout.used:
            said.append(f"{release.name} has no imitations of the tested artists, so it is not in the plan.")
            continue
        open_names = layout.without_works(release)
        if open_names:
            said.append(
                f"{release.name}: {_have(open_names)} pictures and no works, and no manifest says what they are. List "
                "the invented names in placebos; others count as further real names."
            )
        elif not any(arm == "placebo" for arm in release.arms.values()):
            said.append(f"{release.name}: there are no placebo names, so no test of whether a name matters.")
    if layout.releases and layout.artists:
        rest = [name for name in layout.artists if name not in layout.tested]
        if rest:
            said.append(
                f"{_have(rest)} works, but cannot be tested: without imitations in every release of the plan, in "
                "the background as well, or spelled like another one."
            )
    if len(layout.used) > 1:
        said.append(f"None of the {len(layout.used)} releases is the base that the others are compared with.")
    return said


def _have(names: Sequence[str]) -> str:
    return f"{shown(names)} {'has' if len(names) == 1 else 'have'}"


def _nameable(name: str) -> bool:
    """Return whether a plan accepts a name as that of a tested artist."""
    try:
        return names_of([name]) == [name]
    except ImindexError:
        return False


def writable(text: str) -> bool:
    """Return whether a plan can hold a text: file names that are not UTF-8 have no place in TOML."""
    return text == text.encode("utf-8", "ignore").decode()


def shown(names: Sequence[str]) -> str:
    """List a few names, and count the others."""
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
