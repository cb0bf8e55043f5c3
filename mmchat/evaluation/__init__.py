"""Evaluation: how often the answers to a dataset's questions are right, beside what a blind model would score."""

from mmchat.evaluation.run import evaluate
from mmchat.evaluation.scores import Evaluation, Outcome, Score, Share

__all__ = ["Evaluation", "Outcome", "Score", "Share", "evaluate"]
