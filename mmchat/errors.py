"""Every exception that mmchat raises on purpose.

MmchatError                 what was wrong and what to do, in one line
├── UserError               the caller can mend it               (exit code 2)
│   ├── MessageError        a message has no content, or a part of an unknown kind
│   ├── ImageError          a picture cannot be read or is refused
│   ├── AudioError          a clip cannot be read or is refused
│   ├── OptionError         a generation option is out of range
│   ├── ContextError        the conversation does not fit the context of the model
│   ├── ConfigError         a configuration has an unknown key or a wrong value
│   ├── CheckpointError     a checkpoint is missing, incomplete or not what it says
│   ├── DatasetError        a dataset folder is missing, malformed or empty
│   └── HistoryError        the file of conversations cannot be used, or has no such conversation
└── FailureError            something on our side went wrong     (exit code 1)
    ├── BusyError           as many questions wait as may
    ├── FusionError         placeholders and features do not agree
    ├── TrainingError       a batch without labels, a loss that is not a number
    └── SelfTestError       a check of `mmchat doctor` did not hold

Every layer raises these; only the CLI, the server and the page turn them into an exit code, a status or a message.
"""

from __future__ import annotations


class MmchatError(Exception):
    """Base of all errors raised on purpose; its text is shown to people as it is."""

    exit_code = 1


class UserError(MmchatError):
    """The caller can mend it: a wrong file, option, message or model name."""

    exit_code = 2


class MessageError(UserError):
    """A message has no content, an unknown role, or a part of an unknown kind."""


class ImageError(UserError):
    """A picture cannot be read or is refused."""


class AudioError(UserError):
    """A clip cannot be read or is refused."""


class OptionError(UserError):
    """A generation option is out of range."""


class ContextError(UserError):
    """The conversation does not fit the context of the model."""


class ConfigError(UserError):
    """A configuration has an unknown key or a wrong value."""


class CheckpointError(UserError):
    """A checkpoint is missing, incomplete or not what it says it is."""


class DatasetError(UserError):
    """A dataset folder is missing, malformed or empty."""


class HistoryError(UserError):
    """The file of conversations cannot be used, or has no such conversation."""


class FailureError(MmchatError):
    """Something on our side went wrong."""


class BusyError(FailureError):
    """As many questions wait for an answer as may; later there is room again."""


class FusionError(FailureError):
    """Placeholder runs and features do not agree in number or length."""


class TrainingError(FailureError):
    """A batch without labels, or a loss that is not a number."""


class SelfTestError(FailureError):
    """A check of `mmchat doctor` did not hold."""
