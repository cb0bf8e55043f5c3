"""How a conversation on the page is answered, as a value that is kept with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

from mmchat.config import Frozen

MOST_CHOICES = 4
RETRY_TEMPERATURE = 0.7
"""Of an answer that is asked for again where the best one was there already."""


class Settings(Frozen):
    """What the page's settings say; the rest of `GenerationOptions` has its defaults."""

    system: str = ""
    """System prompt; an empty one is none."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, ge=0.05, le=1)
    repetition_penalty: float = Field(default=1.0, ge=1, le=2)
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    max_new_tokens: int = Field(default=96, ge=1, le=1024)
    choices: int = Field(default=1, ge=1, le=MOST_CHOICES)
    """Answers to compare."""
    model: str = ""
    """Of those that the page has; empty is the first."""

    @classmethod
    def kept(cls, values: Mapping[str, Any]) -> Settings:
        """Those that were kept; the defaults where a release of other settings kept them."""
        try:
            return cls.model_validate(values)
        except ValidationError:
            return cls()

    @classmethod
    def of(cls, values: Sequence[Any]) -> Settings:
        """From the page's components, which stand in the order of the fields."""
        return cls.model_validate(dict(zip(cls.model_fields, values, strict=True)))

    def values(self) -> list[Any]:
        """For the page's components."""
        return list(self.model_dump().values())

    def options(self) -> dict[str, Any]:
        """As `Assistant.stream` takes them."""
        options = self.model_dump(exclude={"system", "choices", "model"})
        return {**options, "system": self.system.strip() or None}

    def again(self) -> Settings:
        """For another answer to a question: one that is drawn, and not by the same seed."""
        return self.model_copy(update={"temperature": self.temperature or RETRY_TEMPERATURE, "seed": None})
