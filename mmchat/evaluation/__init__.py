"""Evaluation: how often the answers to a dataset's questions are right, beside what a blind model would score."""

from mmchat.evaluation.tasks import Evaluation, Score, evaluate

__all__ = ["Evaluation", "Score", "evaluate"]
