# SPDX-License-Identifier: Apache-2.0
"""Changes of the records, each a transaction, in their order.

Where nothing can be written (no space, a read-only file system), what is new is refused. What has
happened is owed: it is written as soon as that is possible.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from spec.errors import OrlopError

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[], None]


class Writer:
    """The only way to change the database at `path`.

    on_debt: called with the reason when something begins to be owed.
    """

    def __init__(self, db: sqlite3.Connection, path: str) -> None:
        self._db = db
        self._path = path
        self._owed: list[Change] = []
        self.on_debt: Callable[[str], None] = lambda _: None

    @property
    def owes(self) -> bool:
        """Whether something is not written yet."""
        return bool(self._owed)

    def pay(self) -> str:
        """Write what is owed; why not all of it, or ""."""
        while self._owed:
            why = self._try(self._owed[0])
            if why:
                return why
            del self._owed[0]
        return ""

    def owe(self, change: Change) -> None:
        """Write a change that has happened already; later, if it can't be now."""
        is_first = not self._owed
        self._owed.append(change)
        why = self.pay()
        if why and is_first:
            self.on_debt(why)

    def write(self, change: Change) -> None:
        """Write a change that is yet to happen, after all others. Raises OrlopError."""
        why = self.pay() or self._try(change)
        if why:
            raise OrlopError(why)

    def _try(self, change: Change) -> str:
        """All of it, or nothing: why not, or ""."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            change()
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            return f"{self._path}: {error}"
        finally:  # a COMMIT that fails may leave it open; an error may have ended it
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        return ""
