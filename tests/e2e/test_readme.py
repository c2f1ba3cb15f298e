"""The README's transcript is what a newcomer sees: its commands against a fresh server, output against output."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.eventually import eventually

README = Path(__file__).parents[2] / "README.md"
BIN = Path(sys.executable).parent
SHOWN_PORT = "8080"

_MARKED = r"<!-- {0} -->\n(.*?)<!-- /{0} -->"
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_POST_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_REQUEST_ID = re.compile(r'(?<="request_id":)( ?)"[0-9a-f]{32}"')
_SECONDS = re.compile(r"\d+(?:\.\d+)? s\b")


@dataclass(frozen=True)
class Step:
    """A command and what the README shows below it."""

    command: str
    output: str

    def only_reads(self) -> bool:
        return not re.search(r" -(X|d|-data|-json)\b", self.command)


def transcript(readme: str, name: str = "transcript") -> Iterator[Step]:
    marked = re.search(_MARKED.format(name), readme, re.DOTALL)
    assert marked, f"the README has no {name}"
    for block in _BLOCK.findall(marked.group(1)):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            # A backslash at the end of a line continues the command, as in a shell.
            command, _, output = re.sub(r"\\\n\s*", "", step).partition("\n")
            yield Step(command, output)


@dataclass
class Server:
    """A server on a port of its own, and how the README's values are called there."""

    process: Process
    port: int
    printed: Path
    ids: dict[str, str] = field(default_factory=dict)

    async def answers(self, path: str) -> bool:
        assert self.process.returncode is None, self.printed.read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        url = f"http://127.0.0.1:{SHOWN_PORT}{path}"
        return await self.output_of(f"curl -s -o /dev/null -w '%{{http_code}}' {url}") == "200"

    async def output_of(self, command: str) -> str:
        """Run a command of the README here: with this port, and with the ids that stand for the README's."""
        for shown, actual in self.ids.items():
            command = command.replace(shown, actual)
        shell = await asyncio.create_subprocess_shell(
            f'PATH="{BIN}:$PATH"; {command.replace(SHOWN_PORT, str(self.port))}',
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await shell.communicate()
        return output.decode()

    def learn(self, shown: str, actual: str) -> None:
        """Ids in the same place are the same post."""
        self.ids |= zip(_POST_ID.findall(shown), _POST_ID.findall(actual), strict=True)


@asynccontextmanager
async def started_server(tmp_path: Path, *variables: str) -> AsyncIterator[Server]:
    port, printed = free_port(), tmp_path / "printed"
    with printed.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "env",
            "COLUMNS=120",
            *variables,
            BIN / "fanfold",
            "dev",
            "--port",
            str(port),
            stdout=output,
            stderr=output,
        )
    server = Server(process, port, printed)
    try:
        await eventually(lambda: server.answers("/readyz"), within_s=30, what="the server is ready")
        yield server
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), 20)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def normalised(text: str, port: int | None = None) -> str:
    """Without what differs from run to run. Ids keep their sameness: each is called by its first appearance."""
    if port is not None:
        text = text.replace(str(port), SHOWN_PORT)
    names: dict[str, str] = {}
    text = _POST_ID.sub(lambda id_: names.setdefault(id_.group(), f"<post {len(names)}>"), text)
    text = _SECONDS.sub("<seconds>", _TIME.sub("<time>", _REQUEST_ID.sub("<request>", text)))
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


async def test_the_transcript_of_the_readme_is_real(tmp_path: Path) -> None:
    run, *steps = transcript(README.read_text())
    assert run.command == "make run"
    assert len(steps) >= 3, "a transcript of nothing proves nothing"
    async with started_server(tmp_path) as server:
        await eventually(
            lambda: prints(server, run.output), within_s=30, what="make run prints what is shown"
        )
        server.learn(run.output, server.printed.read_text())
        for step in steps:
            output = await shown_output(server, step)
            assert normalised(output, server.port) == normalised(step.output), step.command
            server.learn(step.output, output)
    assert server.process.returncode == 0, server.printed.read_text()


async def test_the_transcript_with_tokens_is_real(tmp_path: Path) -> None:
    steps = list(transcript(README.read_text(), "tokens"))
    key = f"FANFOLD_JWT_DEVELOPMENT_KEY={tmp_path / 'key.pem'}"
    async with started_server(tmp_path, "FANFOLD_AUTH=jwt", key) as server:
        output = await server.output_of(as_one_script(steps, f"export {key}"))
    assert normalised(output) == normalised("".join(step.output for step in steps))


def as_one_script(steps: Sequence[Step], first: str) -> str:
    """The commands in one shell, which keeps the variables that they set; the environment's `fanfold` is the one here."""
    commands = [step.command.replace(".venv/bin/fanfold", "fanfold") for step in steps]
    return "\n".join([first, *commands])


async def prints(server: Server, shown: str) -> bool:
    return normalised(shown) in normalised(server.printed.read_text(), server.port)


async def shown_output(server: Server, step: Step) -> str:
    """A command that only reads is repeated for a moment: what was written before it may be on its way."""
    output = await server.output_of(step.command)

    async def as_shown() -> bool:
        nonlocal output
        output = await server.output_of(step.command)
        return normalised(output, server.port) == normalised(step.output)

    if step.only_reads() and normalised(output, server.port) != normalised(step.output):
        try:
            await eventually(as_shown, within_s=30, what=step.command)
        except AssertionError:
            return output  # the comparison says it better
    return output
