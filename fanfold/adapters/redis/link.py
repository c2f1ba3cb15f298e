"""One connection to the cache's server. All callers share it: their questions are answered in order, without waiting for one another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import hiredis

from fanfold.core.errors import CacheUnavailable

Command: TypeAlias = tuple[str | bytes | int, ...]
Answers: TypeAlias = "asyncio.Future[list[Any]]"

# Its declared type has one part; it takes any number.
_pack = cast(Callable[[Command], bytes], hiredis.pack_command)
# After a pause of the whole process, the timer runs before answers that arrived meanwhile are read: leave time for them.
_SECOND_LOOK_S = 0.002
_A_MOMENT_S = 0.005


class _Question(NamedTuple):
    asked_at_s: float
    answers: Answers | None
    commands: int
    patient: bool


class ServerError(CacheUnavailable):
    """The server has refused a command."""

    def __init__(self, said: str) -> None:
        # A server that doesn't know a command repeats its arguments: for AUTH, a password.
        super().__init__(said.partition(", with args beginning with")[0])

    @property
    def code(self) -> str:
        """The first word of the server's message."""
        return str(self).partition(" ")[0]


class Link(asyncio.Protocol):
    """Speaks RESP 2. It closes itself when a question is unanswered for `timeout_s`.

    A *patient* question may wait longer while the server keeps answering others: a writer sends many commands at a time, and several
    writers send more.

    One timer watches over all questions: a timer for each, and a task to cancel, would cost more than the question. What is asked in one
    turn of the event loop is sent in one piece, because each piece costs a system call.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self.closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        # An error is one answer: the questions before and after it still get theirs.
        self._reader = hiredis.Reader(replyError=ServerError)
        self._asked: deque[_Question] = deque()
        self._answers: list[Any] = []
        self._received_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._suspected_at_s = -1.0
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._sends_soon = False

    def ask(self, *commands: Command, patient: bool = False) -> Answers:
        """Send the commands; the answers come in their order. An error of the server is a `ServerError` among them.

        Raises `CacheUnavailable`, like the future, once the connection is closed.
        """
        return self.ask_packed(pack(commands), len(commands), patient=patient)

    def ask_packed(self, packed: bytes, count: int, *, patient: bool = False) -> Answers:
        """The same for this many commands that the caller has packed."""
        answers: Answers = self._loop.create_future()
        self._send(packed)
        self._expect(answers, count, patient=patient)
        return answers

    def say(self, command: Command) -> None:
        """Send a command and ignore its answer. It travels with the next question, or after a moment."""
        self._send(_pack(command), soon=False)
        self._expect(None, 1, patient=False)

    def _send(self, packed: bytes, *, soon: bool = True) -> None:
        if self._transport is None or self.closed.is_set():
            raise CacheUnavailable("the connection to the cache is closed")
        if soon and not self._sends_soon:
            self._sends_soon = True
            self._loop.call_soon(self._flush)
        elif not soon and not self._unsent:
            self._loop.call_later(_A_MOMENT_S, self._flush)
        self._unsent.append(packed)

    def _flush(self) -> None:
        unsent, self._unsent, self._sends_soon = self._unsent, [], False
        if unsent and self._transport is not None and not self.closed.is_set():
            self._transport.write(b"".join(unsent))

    def _expect(self, answers: Answers | None, count: int, *, patient: bool) -> None:
        now_s = self._loop.time()
        self._asked.append(_Question(now_s, answers, count, patient))
        if self._timer is None:
            self._timer = self._loop.call_at(now_s + self._timeout_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._asked:
            return
        # Only the oldest question is checked: a question behind a patient one is checked once it is the oldest.
        oldest = self._asked[0]
        waiting_since_s = oldest.asked_at_s
        if oldest.patient:
            waiting_since_s = max(waiting_since_s, self._received_at_s)
        due_s = waiting_since_s + self._timeout_s
        now_s = self._loop.time()
        if now_s >= due_s:
            if self._suspected_at_s == waiting_since_s:
                self.close(f"no answer within {self._timeout_s:g} s")
                return
            self._suspected_at_s = waiting_since_s
            due_s = now_s + _SECOND_LOOK_S
        self._timer = self._loop.call_at(due_s, self._look)

    def close(self, reason: str = "closed") -> None:
        """Close the connection; unanswered questions fail. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        self.closed.set()
        while self._asked:
            answers = self._asked.popleft().answers
            if answers is not None and not answers.done():
                answers.set_exception(CacheUnavailable(reason))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received_at_s = self._loop.time()
        self._reader.feed(data)
        try:
            gets = self._reader.gets
            while (answer := gets()) is not False:
                self._answers.append(answer)
                if len(self._answers) >= self._asked[0].commands:
                    self._take()
        except (hiredis.ProtocolError, IndexError) as error:
            self.close(f"the server does not speak RESP: {error!r}")

    def _take(self) -> None:
        """All answers to the oldest question are there."""
        answers = self._asked.popleft().answers
        taken, self._answers = self._answers, []
        if answers is not None and not answers.done():
            answers.set_result(taken)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(f"the connection is lost: {exc or 'closed by the server'}")


def pack(commands: Iterable[Command]) -> bytes:
    """Commands as they are sent."""
    return b"".join([_pack(command) for command in commands])


def one_each(keys: Iterable[str], name: bytes, *arguments: bytes) -> bytes:
    """One command for each key, packed: its name, the key, the arguments. For many keys it takes a third of the time of the parser's own packing."""
    head = b"*%d\r\n$%d\r\n%b\r\n$" % (2 + len(arguments), len(name), name)
    tail = b"".join([b"\r\n", *(b"$%d\r\n%b\r\n" % (len(a), a) for a in arguments)])
    return b"".join(
        [b"%b%d\r\n%b%b" % (head, len(key), key, tail) for key in map(str.encode, keys)]
    )


def cause_of(error: CacheUnavailable) -> str:
    """The error as a label of a metric: `unavailable`, `out_of_memory` or `refused`."""
    if not isinstance(error, ServerError):
        return "unavailable"
    return "out_of_memory" if error.code == "OOM" else "refused"


def checked(answers: Sequence[Any]) -> Sequence[Any]:
    """The answers, if none of them is an error; otherwise the first error is raised."""
    for answer in answers:
        if isinstance(answer, ServerError):
            raise answer
    return answers
