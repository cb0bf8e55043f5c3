"""The conversation behind `mmchat chat`: what is typed, what waits to be sent, what was said."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import typer

from mmchat.cli import console
from mmchat.cli.keeping import Keeper
from mmchat.cli.line import named_file, named_files
from mmchat.errors import UserError

if TYPE_CHECKING:
    from mmchat.assistant import Assistant
    from mmchat.config import GenerationOptions
    from mmchat.generation.reply import Reply
    from mmchat.inputs.audio import AudioPart
    from mmchat.inputs.image import ImagePart
    from mmchat.inputs.messages import Message
    from mmchat.serving.remote import RemoteAssistant


class Lines(Protocol):
    """Where lines come from."""

    def read(self) -> str:
        """The next line; `EOFError` after the last, `KeyboardInterrupt` for Ctrl-C."""


@dataclass
class Repl:
    """One conversation at a prompt.

    Answers go to standard output, everything else to standard error. A message that could not be answered is kept,
    with its attachments, and Enter alone sends it again.
    """

    assistant: Assistant | RemoteAssistant
    options: GenerationOptions
    keeper: Keeper
    messages: list[Message] = field(default_factory=list)
    attached: list[ImagePart | AudioPart] = field(default_factory=list)
    unsent: str = ""
    left: bool = False

    def run(self, lines: Lines) -> None:
        """Take lines until /exit or the end of input; what goes wrong is said in one line and nothing is lost."""
        while not self.left:
            try:
                self.take(_next_line(lines))
            except KeyboardInterrupt:
                typer.echo(err=True)
                console.note("Ctrl-D or /exit leaves")
            except BrokenPipeError:
                raise
            except Exception as error:
                console.report(error)
        if self.attached or self.unsent:
            console.note(f"not sent: {_summary(self.unsent, self.attached)}")

    def take(self, line: str) -> None:
        """Obey one line: a command, or a message to answer.

        Raises:
            MmchatError: it could not be done.
        """
        if not line.startswith("/"):
            if line or self.unsent or self.attached:
                self._send(line if line else self.unsent)
            return
        name, _, argument = line.partition(" ")
        if name not in COMMANDS:
            raise UserError(f"unknown command {name}: /help lists the commands")
        command = COMMANDS[name]
        if command.takes_file and not argument:
            raise UserError(f"{name} needs a file: {name} FILE")
        if argument and not command.takes_file:
            raise UserError(f"{name} takes nothing behind it")
        command.act(self, argument)

    # ------------------------------------------------------------------------------------------------------ commands

    def _image(self, name: str) -> None:
        from mmchat.inputs.image import load_image

        self._attach([load_image(path) for path in named_files(name)])

    def _audio(self, name: str) -> None:
        from mmchat.inputs.audio import load_audio

        self._attach([load_audio(path) for path in named_files(name)])

    def _attach(self, parts: list[ImagePart] | list[AudioPart]) -> None:
        for part in parts:
            self.attached.append(part)
            about = "" if part.note is None else f" ({part.note})"
            console.note(f"{part.name} is attached{about}: type a message, or Enter to send")

    def _undo(self, _: str) -> None:
        if self.attached or self.unsent:
            console.note(f"taken back: {_summary(self.unsent, self.attached)}")
            self.attached, self.unsent = [], ""
        elif self.messages:
            *self.messages, question, _answer = self.messages
            self.keeper.take_back()
            console.note(f"taken back: {_summary(question.text, question.media)}")
        else:
            raise UserError("there is nothing to take back")

    def _clear(self, _: str) -> None:
        self.messages, self.attached, self.unsent = [], [], ""
        self.keeper.new()
        console.note("a new conversation")

    def _save(self, name: str) -> None:
        from mmchat.inputs.messages import Message

        if not self.messages:
            raise UserError("there is nothing to save yet")
        path = named_file(name)
        head = [] if self.keeper.system is None else [Message.system(self.keeper.system)]
        value = {"messages": [message.to_dict() for message in (*head, *self.messages)]}
        text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise UserError(f"{path} exists already: save under another name") from error
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from error
        console.note(f"saved in {path}")

    def _help(self, _: str) -> None:
        for name, command in COMMANDS.items():
            console.note(f"{name + (' FILE' if command.takes_file else ''):<13}{command.meaning}")
        console.note("anything else is sent, with what is attached; Ctrl-C stops an answer")

    def _exit(self, _: str) -> None:
        self.left = True

    # ------------------------------------------------------------------------------------------------------ answering

    def _send(self, text: str) -> None:
        """Answer the text with what is attached; both stay in place until something was said."""
        from mmchat.inputs.messages import Message, TextPart

        self.unsent = text
        message = Message("user", (*self.attached, *([TextPart(text)] if text else [])))
        try:
            said, reply = self._answer([*self.messages, message])
        except Exception:
            self.keeper.drop()
            raise
        if not said:
            self.keeper.drop()
            console.note("no answer; Enter sends the message again, /undo drops it")
            return
        self.messages += [message, Message.assistant(said)]
        self.attached, self.unsent = [], ""
        if reply is None:
            self.keeper.stopped()
            console.note("stopped")
        else:
            new = len(message.media)
            console.show_receipt(reply, self.options, reply.media[len(reply.media) - new :])

    def _answer(self, conversation: list[Message]) -> tuple[str, Reply | None]:
        """Print the answer as it comes; returns it, with the whole reply unless Ctrl-C stopped it."""
        given = self.options.model_dump(exclude_unset=True)
        said: list[str] = []
        try:
            with console.working("reading"):
                stream = self.assistant.stream(conversation, system=self.keeper.system, **given)
            self.keeper.asked(conversation[-1])
            with closing(stream):
                for piece in stream:
                    said.append(piece)
                    self.keeper.said(piece)
                    console.say(piece)
            if stream.reply is not None:
                self.keeper.answered(stream.reply)
            return "".join(said).strip(), stream.reply
        except KeyboardInterrupt:
            return "".join(said).strip(), None
        finally:
            if any(said):
                typer.echo()


@dataclass(frozen=True)
class Command:
    """What a line that begins with a slash does."""

    act: Callable[[Repl, str], None]
    meaning: str
    takes_file: bool = False


COMMANDS = {
    "/image": Command(Repl._image, "attach a picture to the next message", takes_file=True),
    "/audio": Command(Repl._audio, "attach a clip; Enter alone sends it", takes_file=True),
    "/undo": Command(Repl._undo, "take back what waits to be sent, or else the last exchange"),
    "/clear": Command(Repl._clear, "begin a new conversation"),
    "/save": Command(Repl._save, "write the conversation as JSON", takes_file=True),
    "/help": Command(Repl._help, "show this list"),
    "/exit": Command(Repl._exit, "leave; so does Ctrl-D"),
}


def _next_line(lines: Lines) -> str:
    try:
        return lines.read().strip()
    except EOFError:
        return "/exit"


def _summary(text: str, media: Sequence[ImagePart | AudioPart]) -> str:
    """A message in a few words."""
    words = textwrap.shorten(text, 60, placeholder=" ...")
    return ", ".join([*(part.name for part in media), *([f'"{words}"'] if words else [])])
