"""What a bench found, for people."""

from __future__ import annotations

from mmchat.evaluation.bench import Bench
from mmchat.evaluation.table import Table


def to_text(bench: Bench) -> str:
    """All of it for a terminal."""
    return f"{to_title(bench)}\n\n{Table(('what', 'figure', 'over transformers'), tuple(_rows(bench))).to_text()}"


def to_title(bench: Bench) -> str:
    """What was measured, and where."""
    return f"{bench.model} on {bench.device}, {bench.quantization or bench.dtype}, {bench.threads} CPU threads"


def _rows(bench: Bench) -> list[tuple[str, str, str]]:
    rows = []
    if bench.starts is not None:
        rows.append(("mmchat ask, whole process", f"{bench.starts.text.seconds:.2f} s", _over(bench.cold_start_ratio)))
        if bench.starts.warm is not None:
            seconds = f"{bench.starts.warm.seconds:.2f} s"
            rows.append(("the same with a warm server", seconds, _over(bench.warm_start_ratio)))
        picture = "" if bench.starts.picture is None else ", with a picture"
        rows.append((f"its peak memory{picture}", f"{(bench.peak_bytes or 0) / 1e6:.0f} MB", _over(bench.peak_ratio)))
    if bench.load_s is not None:
        rows.append(("loading", f"{bench.load_s:.2f} s", ""))
    rows += [
        (f"first token, {kind}".replace("_", " "), f"{ms:.1f} ms", "") for kind, ms in (bench.ttft_ms or {}).items()
    ]
    rows += [(f"first token, turn {turn}", f"{ms:.1f} ms", "") for turn, ms in (bench.next_turn_ms or {}).items()]
    rows.append(("tokens a second", f"{bench.decode.tokens_per_second:.0f}", _over(bench.decode.ratio)))
    rows.append(("share of memory bandwidth", f"{bench.decode.bandwidth_share:.0%}", ""))
    for count, each in (bench.chats or {}).items():
        chats = "1 chat" if count == 1 else f"{count} chats"
        rows.append((f"tokens a second, {chats}", f"{each.tokens_per_second:.0f}", ""))
        rows.append((f"95 % of answers, {chats}", f"{each.p95_s:.2f} s", ""))
    return rows


def _over(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f} ×"
