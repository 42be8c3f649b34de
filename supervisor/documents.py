# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts beside orlopd: a sample of its settings, man page, completion, units.

`python -m supervisor.documents DIRECTORY PREFIX` writes them below a directory.
"""

from __future__ import annotations

import json
import os
import sys

from runtime.version import VERSION
from supervisor.settings import SETTINGS, allowed

_UNITS = os.path.join(os.path.dirname(__file__), "systemd")
_FLAGS = (
    ("config", "FILE", "the file of settings"),
    ("check", "", "check the settings, and go"),
    ("version", "", "tell the version, and go"),
)


def sample() -> str:
    """orlopd.toml with every setting as it is without it, commented out."""
    lines, table = [
        "# orlopd's settings, each with its default: /etc/orlop/orlopd.toml, or orlop/orlopd.toml",
        "# in a user's ~/.config. `orlopd --check` says whether it is right.",
    ], ""  # fmt: skip
    for setting in SETTINGS:
        above, _, name = setting.key.rpartition(".")
        if above != table:
            lines += ["", f"[{above}]"]
            table = above
        lines += ["", f"# {setting.meaning}", f"# {allowed(setting)}"]
        lines.append(f"#{name} = {json.dumps(setting.default)}")
    return "\n".join(lines) + "\n"


def page() -> str:
    """orlopd(8), in the macros of man(7)."""
    parts = [
        f'.TH ORLOPD 8 "" "orlop {VERSION}"',
        ".SH NAME",
        "orlopd \\- containers over JSON-RPC 2.0 on a unix socket",
        ".SH SYNOPSIS",
        ".B orlopd",
        "[flags]",
        ".SH DESCRIPTION",
        "Creates, starts, watches and removes containers through shims. Clients connect to",
        "orlopd.sock in its directory; containers go on when orlopd ends.",
        ".SH FLAGS",
    ]
    for name, value, meaning in _flags():
        shown = f"\\fB\\-\\-{_roff(name)}\\fR" + (f" \\fI{value}\\fR" if value else "")
        parts += [".TP", shown, _roff(meaning)]
    parts += [".SH SETTINGS", "In TOML. Those that are a flag, too, give way to the flag."]
    for setting in SETTINGS:
        default = _roff(json.dumps(setting.default))
        parts += [".TP", f"\\fB{_roff(setting.key)}\\fR = {default}",
                  f"{_roff(setting.meaning)} ({_roff(allowed(setting))})"]  # fmt: skip
    parts += [
        ".SH FILES",
        ".TP", "/etc/orlop/orlopd.toml", "settings; a user's: ~/.config/orlop/orlopd.toml",
        ".TP", "/run/orlopd", "the directory of root's; a user's: $XDG_RUNTIME_DIR/orlopd",
        ".SH SEE ALSO", ".BR orlop (1),", ".BR orlop\\-planner (1)",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _flags() -> list[tuple[str, str, str]]:
    settings = [
        (s.key.replace(".", "-"), s.key.rpartition(".")[2].upper(), s.meaning)
        for s in SETTINGS
        if s.flag
    ]
    return [_FLAGS[0], *settings, *_FLAGS[1:]]


def _roff(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def _completions() -> dict[str, str]:
    names = [name for name, _, _ in _flags()]
    words = " ".join(f"--{name}" for name in names)
    bash = (
        "_orlopd() {\n    local word=${COMP_WORDS[COMP_CWORD]}\n    mapfile -t COMPREPLY "
        f"< <(compgen -W '{words}' -- \"$word\"; compgen -f -- \"$word\")\n}}\n"
        "complete -o filenames -F _orlopd orlopd\n"
    )  # fmt: skip
    quoted = [(name, value, meaning.replace("'", "\u2019")) for name, value, meaning in _flags()]
    fish = "".join(
        f"complete -c orlopd -l {name}{' -r' if value else ''} -d '{meaning}'\n"
        for name, value, meaning in quoted
    )
    return {
        "share/bash-completion/completions/orlopd": bash,
        "share/zsh/site-functions/_orlopd": "#compdef orlopd\n_gnu_generic\n",
        "share/fish/vendor_completions.d/orlopd.fish": fish,
    }


def documents(prefix: str) -> dict[str, str]:
    """All files by their paths below the prefix."""
    found = {
        "share/man/man8/orlopd.8": page(),
        "share/doc/orlop/orlopd.toml": sample(),
        **_completions(),
    }
    for name in sorted(os.listdir(_UNITS)):
        with open(os.path.join(_UNITS, name), encoding="utf-8") as file:
            found[f"lib/systemd/system/{name}"] = file.read().replace("@PREFIX@", prefix)
    return found


def write(directory: str, prefix: str) -> None:
    """Write all of them below a directory. Raises OSError."""
    for name, text in documents(prefix).items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    write(*sys.argv[1:3])
