# SPDX-License-Identifier: Apache-2.0
"""What the streams of orlopd bring, made of their notifications. No input or output here."""

from __future__ import annotations

from orlop.errors import Lost, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop.calls import Call
    from orlop.protocol import Notification
    from orlop.types import LogEntry, Stats


class Event:
    """One event. number: goes up by one from event to event. time: RFC 3339."""

    __slots__ = ("container", "data", "number", "time", "topic")

    def __init__(
        self, number: int, time: str, topic: str, container: str, data: dict[str, object]
    ) -> None:
        self.number = number
        self.time = time
        self.topic = topic
        self.container = container
        self.data = data

    def __repr__(self) -> str:
        """For people."""
        return f"<Event {self.number} {self.topic} {self.container} {self.data}>"


class Missed(Event):
    """In place of events that orlopd keeps no more: those with the numbers `first` to `last`."""

    __slots__ = ("first", "last")

    def __init__(self, first: int, last: int) -> None:
        super().__init__(last, "", "missed", "", {"from": first, "to": last})
        self.first = first
        self.last = last


class Output:
    """What a process wrote. stream: stdout or stderr; a terminal's is stdout.

    missed: bytes that orlopd dropped before this, because nobody read; then stream is "".
    """

    __slots__ = ("data", "missed", "stream")

    def __init__(self, stream: str, data: bytes, missed: int = 0) -> None:
        self.stream = stream
        self.data = data
        self.missed = missed

    def __repr__(self) -> str:
        """For people."""
        return f"<Output {self.stream} {self.data!r}>"


class Completed:
    """A process that has ended: what it wrote, and its status, or 128 and the signal."""

    __slots__ = ("exit_status", "stderr", "stdout")

    def __init__(self, exit_status: int, stdout: bytes, stderr: bytes) -> None:
        self.exit_status = exit_status
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self) -> str:
        """For people."""
        return f"<Completed {self.exit_status} {self.stdout!r} {self.stderr!r}>"


class Fold:
    """A subscription's notifications, made items. ended: no more will come.

    Also what to ask for once more, when the connection was lost in the middle.
    """

    def __init__(self, call: Call[object]) -> None:
        self.call = call
        self.ended = False

    def answered(self, result: object) -> int:
        """The subscription's number. Raises ProtocolError."""
        number = result.get("subscription") if isinstance(result, dict) else None
        if not isinstance(number, int):
            raise ProtocolError(f"{self.call.method} answered without a subscription: {result!r}")
        return number

    def items(self, notification: Notification) -> Sequence[object]:
        """What this one brings."""
        raise NotImplementedError

    def again(self) -> Call[object]:
        """The call that goes on where this ended. Raises Lost where there is none."""
        raise Lost(f"the connection ended in the middle of {self.call.method}")


class EventFold(Fold):
    """Events. last: the number of the last one that was seen or missed, to go on from."""

    def __init__(self, call: Call[object]) -> None:
        super().__init__(call)
        since = call.params.get("since")
        self.last = since if isinstance(since, int) else 0

    def answered(self, result: object) -> int:
        """As in Fold; without `since` they begin behind the newest."""
        if "since" not in self.call.params and isinstance(result, dict):
            self.last = int(result.get("last", 0))
        return super().answered(result)

    def items(self, notification: Notification) -> Sequence[Event]:
        """One."""
        params = notification.params
        missed = params.get("missed")
        if isinstance(missed, dict):
            self.last = int(missed["to"])
            return [Missed(int(missed["from"]), self.last)]
        data = params.get("data")
        self.last = int(str(params["number"]))
        return [
            Event(
                self.last,
                str(params.get("time", "")),
                str(params.get("topic", "")),
                str(params.get("container", "")),
                data if isinstance(data, dict) else {},
            )
        ]

    def again(self) -> Call[object]:
        """Events have numbers: nothing is lost."""
        self.call.params["since"] = self.last
        return self.call


class LogFold(Fold):
    """Entries of a container's output, until it has ended."""

    def items(self, notification: Notification) -> Sequence[LogEntry]:
        """Some."""
        self.ended = bool(notification.params.get("end"))
        found = notification.params.get("entries")
        return found if isinstance(found, list) else []


class StatsFold(Fold):
    """What containers use, again and again."""

    def items(self, notification: Notification) -> Sequence[Stats]:
        """One."""
        self.ended = bool(notification.params.get("end"))
        found = {k: v for k, v in notification.params.items() if k != "subscription"}
        return [] if self.ended else [found]  # type: ignore[list-item]


class OutputFold(Fold):
    """What a process writes, until it has ended; then `exit_status` is its status."""

    def __init__(self, call: Call[object]) -> None:
        super().__init__(call)
        self.exit_status: int | None = None

    def items(self, notification: Notification) -> Sequence[Output]:
        """One."""
        import binascii

        params = notification.params
        if params.get("end"):
            self.ended = True
            status = params.get("exitStatus")
            self.exit_status = status if isinstance(status, int) else None
            return []
        missed = params.get("missed")
        if isinstance(missed, int):
            return [Output("", b"", missed)]
        text = params.get("data")
        data = binascii.a2b_base64(text) if isinstance(text, str) else b""
        return [Output(str(params.get("stream", "stdout")), data)]
