# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts beside the program: man pages and completion.

`python -m runtime.documents DIRECTORY` writes them below a directory, in the places below PREFIX
where man(1) and the shells look for them.
"""

from __future__ import annotations

import os
import sys

from runtime import cli, manpage
from runtime.completion import bash, fish, zsh

MAN = "share/man/man1"
COMPLETIONS = {
    "share/bash-completion/completions/orlop": bash.script,
    "share/zsh/site-functions/_orlop": zsh.script,
    "share/fish/vendor_completions.d/orlop.fish": fish.script,
}


def documents() -> dict[str, str]:
    """All files by their paths below PREFIX."""
    flags, every = cli.GLOBAL_FLAGS, [cli.command(verb) for verb in cli.VERBS]
    found = {f"{MAN}/{name}": text for name, text in manpage.pages(flags, every).items()}
    found.update({path: script(flags, every) for path, script in COMPLETIONS.items()})
    return found


def write(directory: str) -> None:
    """Write all of them below a directory. Raises OSError."""
    for name, text in documents().items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    write(sys.argv[1])
