"""Training: the stages of the recipe, one loop for all that follow a gradient.

Data are ordinary dataset folders; nothing here knows what world they come from.
"""

from mmchat.training.run import run

__all__ = ["run"]
