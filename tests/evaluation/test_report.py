"""Tables, as a terminal shows them."""

from __future__ import annotations

from mmchat.evaluation.report import LEGEND, tables, to_text
from mmchat.evaluation.scores import Evaluation
from tests.evaluation.watcher import outcome


def test_the_whole_report() -> None:
    outcomes = [
        outcome(kind="name", style="noto", removed=False, exchanged=True, answer="It is red.", reference="It is red."),
        outcome(kind="name", style="openmoji", removed=None, exchanged=False, accepted=False, answer="It is red."),
        outcome(kind="transcribe", transcripts=("a cat",), answer="a hat", typed=True, agrees=False, guessed=True),
    ]
    assert to_text(Evaluation.of("toy", "data", outcomes, 0)) == (
        "kind        asked   exact  accepted  refused  removed  exchanged  majority   typed  agrees  guesses    WER\n"
        "name            2   50.0%     50.0%     0.0%     0.0%      50.0%      0.0%\n"
        "transcribe      1  100.0%    100.0%     0.0%                          0.0%  100.0%    0.0%   100.0%  50.0%\n"
        "all             3   66.7%     66.7%     0.0%     0.0%      50.0%      0.0%  100.0%    0.0%   100.0%  50.0%\n"
        "\n"
        "style     asked   exact  accepted  refused  removed  exchanged  majority\n"
        "noto          1  100.0%    100.0%     0.0%     0.0%     100.0%      0.0%\n"
        "openmoji      1    0.0%      0.0%     0.0%                0.0%      0.0%\n"
        "\n"
        "BLEU 48.1, chrF 87.9, ROUGE-L 50.0, perplexity 2.72"
    )


def test_what_was_not_asked_has_no_column_and_rows_without_style_no_table() -> None:
    (table,) = tables(Evaluation.of("toy", "data", [outcome()], 0))
    assert table.header == ("kind", "asked", "exact", "accepted", "refused", "majority")


def test_every_column_is_explained() -> None:
    marks = dict.fromkeys(("removed", "exchanged", "typed", "agrees", "guessed"), True)
    everything = outcome(kind="transcribe", transcripts=("a cat",), **marks)
    (table,) = tables(Evaluation.of("toy", "data", [everything], 0))
    assert table.header[2:] == tuple(LEGEND)
