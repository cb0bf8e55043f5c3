"""What a bench found, as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from mmchat.errors import OptionError
from mmchat.evaluation.bench import Bench
from mmchat.evaluation.bench_report import to_title

_INCHES = (5.0, 3.2)  # of each panel
_COLUMNS = 3
_COLOUR, _OTHER = "#3b6fb6", "#b9c3d0"


def save_plot(bench: Bench, path: Path) -> None:
    """Write a panel of bars for each group of figures that was measured.

    Args:
        bench: what was found.
        path: of the picture; its ending says the format.

    Raises:
        OptionError: the picture cannot be written.
    """
    panels = _panels(bench)
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(_INCHES[0] * columns, _INCHES[1] * rows), layout="constrained")
    figure.suptitle(to_title(bench))
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in places:
        axes.set_axis_off()
    for axes, (title, values) in zip(places, panels, strict=False):  # the last row may not be full
        axes.set_axis_on()
        colours = [_OTHER if name.startswith("transformers") else _COLOUR for name in values]
        drawn = axes.bar(list(values), list(values.values()), color=colours)
        axes.bar_label(drawn, fmt="{:,.3g}")
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="x", rotation=20)
        axes.margins(y=0.15)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:  # ValueError: no such format
        raise OptionError(f"{path}: the plot cannot be written: {error}") from error


def _panels(bench: Bench) -> list[tuple[str, dict[str, float]]]:
    """Titles of panels, and their bars by name."""
    panels: list[tuple[str, dict[str, float]]] = []
    if bench.starts is not None:
        runs = {
            "ask": bench.starts.text,
            "ask, picture": bench.starts.picture,
            "ask, warm server": bench.starts.warm,
            "transformers script": bench.starts.script,
        }
        panels.append(("whole process, seconds", {name: run.seconds for name, run in runs.items() if run is not None}))
    if bench.ttft_ms:
        panels.append(("first token, ms", {name.replace("_", " "): ms for name, ms in bench.ttft_ms.items()}))
    if bench.next_turn_ms:
        panels.append(("first token of a turn, ms", {f"turn {turn}": ms for turn, ms in bench.next_turn_ms.items()}))
    theirs = {f"transformers {dtype}": speed for dtype, speed in bench.decode.baseline_tokens_per_second.items()}
    panels.append(("tokens a second", {"mmchat": bench.decode.tokens_per_second, **theirs}))
    if bench.chats:
        speeds = {str(count): each.tokens_per_second for count, each in bench.chats.items()}
        panels.append(("tokens a second, by chats at once", speeds))
        panels.append(("95 % of answers, seconds", {str(count): each.p95_s for count, each in bench.chats.items()}))
    return panels
