"""Back ends of other packages, named in their metadata by entry points of the group `imindex.encoders`.

Only metadata is read here. `imindex.indexer.encoders.registry` imports the module of a back end when it is used.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.package import is_package
from imindex.indexer.system.child_process import import_paths

GROUP = "imindex.encoders"
"""The group of entry points: `NAME = MODULE`."""
RESERVED = ("demo", "demo-style", "hf-hub", "hf_hub", "local-dir")
"""Names, and beginnings of names, of models that imindex loads by itself."""
_NAME = re.compile(r"[a-z][a-z0-9_-]+")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Plugin:
    """A back end of another package.

    Attributes
    ----------
    name : str
        The name of the back end.
    module : str
        The full name of its module, as the metadata has it; not checked.
    package : str
        The package that has it, and its version: `imindex-mean-colour 1.2`.
    """

    name: str
    module: str
    package: str


def plugins() -> tuple[Plugin, ...]:
    """Return the back ends that installed packages name, sorted by name and package; none is imported.

    Packages in the current folder are left out, unless imindex is installed there: `python -m` puts it on the import
    path, and it may hold untrusted files.
    """
    return _plugins(tuple(import_paths()))


@functools.cache
def _plugins(paths: tuple[str, ...]) -> tuple[Plugin, ...]:
    seen: set[str] = set()
    found: list[Plugin] = []
    for distribution in distributions(path=list(paths)):
        entries = distribution.entry_points.select(group=GROUP) if _names_the_group(distribution) else ()
        if not entries:
            continue
        package = _package(distribution)
        name = re.sub(r"[-_.]+", "-", package.partition(" ")[0]).lower()
        if name not in seen:  # of a package that is on the path twice, Python imports the first
            seen.add(name)
            found += [Plugin(entry.name, entry.value, package) for entry in entries]
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.package)))


def _names_the_group(distribution: Distribution) -> bool:
    """Return whether the group may be in the metadata, without parsing it: few packages have it."""
    return GROUP in (distribution.read_text("entry_points.txt") or "")


def _package(distribution: Distribution) -> str:
    has_metadata = any(map(distribution.read_text, ("METADATA", "PKG-INFO")))
    named = [key for key in ("Name", "Version") if has_metadata and key in distribution.metadata]
    text = " ".join(distribution.metadata[key] for key in named)
    return text if is_package(text) else "(a package without a valid name and version)"


def plugin(name: str, backends: dict[str, str]) -> Plugin | None:
    """Return the back end of another package that has a name; None if there is none.

    Parameters
    ----------
    name : str
    backends : dict of str to str
        The back ends of imindex and of this program: name to module.

    Raises
    ------
    ImindexError
        The name belongs to imindex or to this program, or two packages have it, or the metadata is not valid.
    """
    claims = [plugin for plugin in plugins() if plugin.name == name]
    if not claims:
        return None
    if fault := next(faults(claims, backends), ""):
        raise ImindexError(fault)
    return claims[0]


def faults(among: list[Plugin], backends: dict[str, str]) -> Iterator[str]:
    """Yield what is wrong with back ends of other packages: the thing, the cause and the remedy.

    Parameters
    ----------
    among : list of Plugin
    backends : dict of str to str
        As `plugin` takes them.
    """
    for name in dict.fromkeys(plugin.name for plugin in among):
        claims = [plugin for plugin in among if plugin.name == name]
        packages = list(dict.fromkeys(claim.package for claim in claims))
        owner = _owner(name, backends)
        if owner or len(claims) > 1:
            every = [*([owner] if owner else []), *packages]
            listed = " and ".join(every) if len(every) > 1 else f"{packages[0]}, twice"
            yield (
                f"The back end {name} is defined by {listed}, so the name is ambiguous. "
                f"Uninstall {packages[-1].partition(' ')[0]}, or use another --model."
            )
            continue
        if not _NAME.fullmatch(name):
            yield (
                f"{packages[0]} names a back end {name!r}. A name has two or more lower-case letters, digits, hyphens "
                f"and underscores, the first a letter. Tell the authors of {packages[0]}."
            )
        elif not _MODULE.fullmatch(claims[0].module):
            yield (
                f"{packages[0]} names {claims[0].module!r} for the back end {name}, which is not the full name of a "
                f"module. Tell the authors of {packages[0]}."
            )


def _owner(name: str, backends: dict[str, str]) -> str:
    """Return who has a name already; empty if nobody."""
    if name in RESERVED or backends.get(name, "").startswith("imindex."):
        return "imindex itself"
    if name in backends:
        return f"this program ({backends[name]})"
    spec = importlib.util.find_spec("open_clip")
    folders = (spec and spec.submodule_search_locations) or ()
    if any(Path(folder, "model_configs", f"{name}.json").is_file() for folder in folders):
        return "imindex itself (a model of open_clip)"
    return ""
