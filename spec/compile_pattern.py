# SPDX-License-Identifier: Apache-2.0
"""Compile the regular expressions of our schemas into string operations.

The check of a valid configuration must not import `re`.

Only what these schemas use is understood: `^`, then single characters and classes of which at most
one is repeated by `*` or `+`, then `$`. Anything else is an error of the build. `$` has ECMA-262's
meaning, as JSON Schema demands: it matches at the end only, not before a final newline as in
Python.
"""

from __future__ import annotations


class _Atom:
    """One position of a pattern: the characters that it takes, or those that it doesn't."""

    __slots__ = ("characters", "negated", "repeat")

    def __init__(self, characters: str, *, negated: bool, repeat: str) -> None:
        self.characters = characters
        self.negated = negated
        self.repeat = repeat

    def one(self, value: str) -> str:
        """Return an expression: is the one-character string `value` taken?"""
        if len(self.characters) == 1:
            return f"{value} {'!=' if self.negated else '=='} {self.characters!r}"
        return f"{value} {'not in' if self.negated else 'in'} {self.characters!r}"

    def every(self, value: str) -> str:
        """Return an expression: is each character of the string `value` taken?"""
        if self.negated:
            return " and ".join(f"{character!r} not in {value}" for character in self.characters)
        return f"not {value}.strip({self.characters!r})"


def compile_pattern(pattern: str, value: str) -> str:
    """Return a Python expression that tells whether the string named `value` matches.

    Raises ValueError when the pattern has something that this compiler doesn't know.
    """
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise ValueError(f"pattern {pattern!r}: must be anchored by ^ and $")
    atoms = _parse(pattern[1:-1], pattern)
    repeated = [index for index, atom in enumerate(atoms) if atom.repeat]
    if len(repeated) > 1:
        raise ValueError(f"pattern {pattern!r}: has more than one repetition")
    if not repeated:
        raise ValueError(f"pattern {pattern!r}: has no repetition, say it with enum")
    return _expression(atoms, repeated[0], value)


def _expression(atoms: list[_Atom], repeated: int, value: str) -> str:
    """Return the expression for a fixed head, one repetition and a fixed tail."""
    tail = len(atoms) - repeated - 1
    least = repeated + tail + (atoms[repeated].repeat == "+")
    terms = [f"len({value}) >= {least}"] if least else []
    terms += [atoms[index].one(f"{value}[{index}]") for index in range(repeated)]
    terms += [atoms[index - tail].one(f"{value}[{index - tail}]") for index in range(tail)]
    middle = value if repeated == tail == 0 else f"{value}[{repeated}:{-tail if tail else ''}]"
    terms.append(atoms[repeated].every(middle))
    return " and ".join(terms)


def _parse(body: str, pattern: str) -> list[_Atom]:
    """Split the part between the anchors into atoms."""
    atoms: list[_Atom] = []
    position = 0
    while position < len(body):
        if body[position] == "[":
            end = body.find("]", position)
            if end < 0:
                raise ValueError(f"pattern {pattern!r}: has a class without an end")
            negated = body.startswith("^", position + 1)
            characters = _class(body[position + 1 + negated : end], pattern)
            position = end + 1
        else:
            negated = False
            characters = _literal(body[position], pattern)
            position += 1
        repeat = body[position] if body[position : position + 1] in ("*", "+") else ""
        position += len(repeat)
        atoms.append(_Atom(characters, negated=negated, repeat=repeat))
    return atoms


def _literal(character: str, pattern: str) -> str:
    """Return a character that stands for itself."""
    if character in "\\.^$*+?{}()|[]":
        raise ValueError(f"pattern {pattern!r}: {character!r} isn't understood here")
    return character


def _class(body: str, pattern: str) -> str:
    """Return the characters of a class: literals, ranges, and the escape of a newline."""
    body = body.replace("\\n", "\n")
    if "\\" in body or not body:
        raise ValueError(f"pattern {pattern!r}: has a class that isn't understood")
    characters = ""
    position = 0
    while position < len(body):
        if body[position + 1 : position + 2] == "-" and position + 2 < len(body):
            characters += "".join(map(chr, range(ord(body[position]), ord(body[position + 2]) + 1)))
            position += 3
        else:
            characters += body[position]
            position += 1
    return characters
