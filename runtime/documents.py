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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.surface import Program

MAN = "share/man/man1"


def documents(program: Program) -> dict[str, str]:
    """All files of a program by their paths below PREFIX."""
    name = program.name
    found = {f"{MAN}/{page}": text for page, text in manpage.pages(program).items()}
    found[f"share/bash-completion/completions/{name}"] = bash.script(program)
    found[f"share/zsh/site-functions/_{name}"] = zsh.script(program)
    found[f"share/fish/vendor_completions.d/{name}.fish"] = fish.script(program)
    return found


def write(program: Program, directory: str) -> None:
    """Write all of them below a directory. Raises OSError."""
    for name, text in documents(program).items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    write(cli.program(), sys.argv[1])
