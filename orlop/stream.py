# SPDX-License-Identifier: Apache-2.0
"""A stream of orlopd's, over a connection of its own, as an iterator that waits."""

from __future__ import annotations

from orlop.connection import Connection
from orlop.errors import Lost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, Self, TypeVar

    from orlop.items import Fold

    Item = TypeVar("Item")
else:
    from orlop.calls import Generic

    Item = None


class Stream(Generic[Item]):
    """What comes, in its order. Ends where there is no more to come; `close` ends it before.

    last: of events, the number of the last one; `events(since=last)` goes on behind it.
    """

    def __init__(self, path: str, fold: Fold) -> None:
        """Subscribe. Raises Unreachable, Refused."""
        self._path = path
        self._fold = fold
        self._items: list[Item] = []
        self._connection = self._begin()

    def _begin(self) -> Connection:
        connection = Connection(self._path)
        try:
            self._fold.answered(connection.call(self._fold.call))
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def last(self) -> int:
        """See the class."""
        return int(getattr(self._fold, "last", 0))

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> Item:
        """Wait for the next one. Raises Lost, or Unreachable where orlopd is gone for now."""
        while not self._items:
            if self._fold.ended:
                self.close()
                raise StopIteration
            self._take()
        return self._items.pop(0)

    def fileno(self) -> int:
        """To be waited for with others: readable when `pending` has something new."""
        return self._connection.fileno()

    @property
    def has_pending(self) -> bool:
        """Whether something is here already: of it, `fileno` says nothing any more."""
        return bool(self._items or self._connection.notifications)

    def pending(self) -> list[Item]:
        """All that came, once `fileno` is readable or `has_pending`.

        None: the stream has ended, or what came is not yet a whole one.
        """
        if not self._items:
            self._take()
        found, self._items = self._items, []
        return found

    @property
    def ended(self) -> bool:
        """Whether no more will come."""
        return self._fold.ended

    def _take(self) -> None:
        connection = self._connection
        if not connection.notifications:
            try:
                connection.read()
            except Lost:
                connection.close()
                self._fold.again()  # or it raises: not to be had twice
                self._connection = self._begin()
                return
        for notification in connection.notifications:
            self._items += self._fold.items(notification)  # type: ignore[arg-type]
        connection.notifications.clear()

    def close(self) -> None:
        """No more of it; may be called again."""
        self._connection.close()
