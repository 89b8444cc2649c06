"""What other packages bring to Alula: entry points, loaded by name, with errors of one line."""

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points


class PluginError(ValueError):
    """A plug-in that is not what it must be. The message is one line and names its package."""


@dataclass(frozen=True)
class Plugin:
    """What a package has registered under a name.

    Attributes:
        value: the object.
        module: where it is from.
        place: group, name and package, for messages.
    """

    value: object
    module: str
    place: str


def plugin_names(group: str) -> list[str]:
    """Return the names that other packages have registered in a group; nothing is imported."""
    return sorted(entry_points(group=group).names)


def find_plugin(group: str, name: str, own: Collection[str]) -> Plugin | None:
    """Import what a package has registered under a name.

    Args:
        group: the entry points' group, such as "alula.devices".
        name: what is looked for.
        own: the names of Alula itself, which no package may take.

    Returns:
        None if no package has registered the name.

    Raises:
        PluginError: the name is taken twice, or the import fails.
    """
    found = [*entry_points(group=group, name=name)]
    if not found:
        return None
    packages = [*(["alula"] if name in own else []), *map(_package, found)]
    if len(packages) > 1:
        raise PluginError(
            f"a name must be registered once, not by {' and '.join(packages)} ({group}: {name})"
        )
    (entry,) = found
    place = f"{group}: {name}, of {packages[0]}"
    try:
        value = entry.load()
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"importing {entry.value} failed: {reason} ({place})") from error
    return Plugin(value, entry.module, place)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "a package without a name"
