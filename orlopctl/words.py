# SPDX-License-Identifier: Apache-2.0
"""The words of a command line as people write them: `-it`, and flags behind the arguments."""

from __future__ import annotations

from runtime import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.options import Flag, Options


def parse(
    flags: Sequence[Flag], words: Sequence[str], *, anywhere: bool
) -> tuple[Options, list[str]]:
    """As runtime.options.parse, with switches of one letter together, and `-n5` for `-n 5`.

    anywhere: flags may stand behind arguments, up to a word `--`. Raises UsageError.
    """
    found, arguments = [], []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            arguments += rest
            break
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if not anywhere:
                arguments += rest
                break
            continue
        *switches, last = _single(flags, word)
        found += [*switches, last]
        if _takes_value(flags, last) and rest:
            found.append(rest.pop(0))
    return options.parse(flags, found)[0], arguments


def _single(flags: Sequence[Flag], word: str) -> list[str]:
    """`-it` as `-i`, `-t`; `-n5` as `-n=5`; any other flag as it is."""
    short = {flag.short: flag for flag in flags if flag.short}
    if word.startswith("--") or len(word.partition("=")[0]) <= len("-x"):
        return [word]
    letters, singles = word[1:], []
    while letters:
        flag = short.get(letters[0])
        if flag is None:
            return [word]  # parse says that it is unknown
        letters = letters[1:]
        if flag.kind != options.BOOL:
            singles.append(f"-{flag.short}={letters}" if letters else f"-{flag.short}")
            break
        singles.append(f"-{flag.short}")
    return singles


def _takes_value(flags: Sequence[Flag], word: str) -> bool:
    name, equals, _ = word.lstrip("-").partition("=")
    if equals:
        return False
    return any(f.kind != options.BOOL and name in (f.name, f.short) for f in flags)
