"""Texts without what names a machine or a person: paths, the host, the user."""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from actionbook.core.paths import ROOT

_ABSOLUTE = re.compile(r"(?<![\w:/.<>~-])(?:~[\w.-]*)?(?:/[^\s/:;,|\"'`<>()\[\]{}=]+)+/?")
"""A path from the root or from a home; not what follows the colon of an address on the web."""
_ADDRESS = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")


def names_of_machine(*places: Path) -> dict[str, str]:
    """What this machine and its user are called, with the folders `places`; and what is written instead of each."""
    users = {os.environ.get(key, "") for key in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")} | {Path.home().name}
    with suppress(KeyError, OSError):  # a user without a name
        users.add(getpass.getuser())
    hosts = {platform.node(), socket.gethostname(), os.environ.get("HOSTNAME", "")}
    hosts |= {host.partition(".")[0] for host in hosts}
    folders = {str(place) for place in (*places, Path.home(), ROOT) if len(place.parts) > 1}
    found = dict.fromkeys(folders, "<path>") | dict.fromkeys(users, "<user>") | dict.fromkeys(hosts, "<host>")
    return {name: instead for name, instead in found.items() if name}


def scrub(text: str, names: Mapping[str, str]) -> str:
    """`text` with the last part alone of every absolute path, and with what stands for `names` in their place.

    Folders among them go first, as blanks in their names would hide where a path ends. Numbers of hosts (IPv4) are
    names of a machine as well. Relative paths stay.
    """
    folders = [name for name in names if name.startswith("/")]
    for name in sorted(folders, key=len, reverse=True):
        text = text.replace(name, names[name])
    text = _ADDRESS.sub("<host>", _ABSOLUTE.sub(_last, text))
    for name in sorted(names.keys() - set(folders), key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", names[name], text)
    return text


def scrub_data(data: Any, names: Mapping[str, str]) -> Any:
    """Plain data of which every text has gone through `scrub`; single words that hold no path are names, and stay."""
    if isinstance(data, str):
        return scrub(data, names) if " " in data or "\n" in data or "/" in data else data
    if isinstance(data, Mapping):
        return {key: scrub_data(value, names) for key, value in data.items()}
    return [scrub_data(value, names) for value in data] if isinstance(data, list | tuple) else data


def without_places(data: Any, manifests: Iterable[str] = ("manifest",), at: str = "") -> tuple[Any, list[str]]:
    """Plain data of a recipe without absolute paths, and the keys that had one, such as "data.frames_folder".

    A manifest of one's own is called by the name of its file, anything else is None.
    """
    if isinstance(data, str):
        own = at.rpartition(".")[2] in manifests and data.endswith((".yaml", ".yml"))
        if not own and not Path(data).is_absolute() and not data.startswith("~"):
            return data, []
        return (Path(data).stem if own else None), [at]
    if not isinstance(data, Mapping | list):
        return data, []
    pairs = data.items() if isinstance(data, Mapping) else enumerate(data)
    parts = {key: without_places(value, manifests, f"{at}.{key}".lstrip(".")) for key, value in pairs}
    left_out = [key for _, keys in parts.values() for key in keys]
    values = {key: value for key, (value, _) in parts.items()}
    return (values if isinstance(data, Mapping) else list(values.values())), left_out


def _last(match: re.Match[str]) -> str:
    return f"<path>/{match[0].rstrip('/').rpartition('/')[2]}"
