"""The command line: `mmchat ask`, `chat`, `web`, `serve`; `history`, `explain`; `info`, `doctor`; `models`, `pull`,
`rm`, `push`; `import`, `export`, `compose`, `world`, `train`, `eval`, `bench`.

Heavy imports stand inside the commands, so that `mmchat --help` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from mmchat import __version__
from mmchat.cli import (
    ask,
    bench,
    chat,
    console,
    deploy,
    doctor,
    evaluate,
    explain,
    history,
    importing,
    info,
    models,
    serve,
    train,
    web,
    world,
)
from mmchat.cli.media import MediaCommand

# Plain help: Typer's boxed one imports a Markdown renderer, which alone takes a third of the time that help may take.
app = typer.Typer(name="mmchat", rich_markup_mode=None, pretty_exceptions_enable=False)
app.command("ask", cls=MediaCommand)(ask.ask)
app.command("chat")(chat.chat)
app.command("explain", cls=MediaCommand)(explain.explain)
app.command("info")(info.info)
app.command("doctor")(doctor.doctor)
app.command("web")(web.web)
app.command("serve")(serve.serve)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("bench")(bench.bench)
app.command("import")(importing.import_model)
app.command("export")(importing.export_model)
app.command("compose")(importing.compose_model)
app.command("models")(models.models)
app.command("pull")(models.pull)
app.command("rm")(models.rm)
app.command("push")(models.push)

of_history = typer.Typer(rich_markup_mode=None, help="The conversations that were kept, on this machine alone.")
of_history.command("list")(history.list_)
of_history.command("search")(history.search)
of_history.command("show")(history.show)
of_history.command("rename")(history.rename)
of_history.command("export")(history.export)
of_history.command("delete")(history.delete)
app.add_typer(of_history, name="history")

of_deploy = typer.Typer(rich_markup_mode=None, help="The page where others can reach it.")
of_deploy.command("space")(deploy.space)
of_deploy.command("docker")(deploy.docker)
app.add_typer(of_deploy, name="deploy")

of_world = typer.Typer(rich_markup_mode=None, help="The little world that the bundled model knows.")
of_world.command("build")(world.build)
of_world.command("pack")(world.pack)
app.add_typer(of_world, name="world")

# The common base of what Typer raises for a wrong command line; its own name differs between releases of Typer.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmchat {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An assistant that reads, sees and listens, on this machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        arguments: what stands behind `mmchat`; None takes those of the process.

    Returns:
        The exit code: 0; 1 for a failure on our side; 2 for a mistake of the user; 130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an answer may hold what the terminal cannot show
    try:
        code = app(given if given else ["--help"], prog_name="mmchat", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the answer has left. Python flushes once more on its way out: give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except _UsageError as error:
        return _explain_usage(error)
    except Exception as error:
        return console.report(error)
    return code if isinstance(code, int) else 0


def _explain_usage(error: Exception) -> int:
    """Say in one line what is wrong with the command line, and where the right one is described."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "mmchat"
    message = str(getattr(error, "format_message", error.__str__)()).strip().rstrip(".")
    console.complain(f"{message[:1].lower()}{message[1:]} (see {command} --help)")
    return 2
