"""mmchat: a multimodal assistant that reads, sees and listens.

from mmchat import Assistant

assistant = Assistant.load()
print(assistant.reply(["describe this", Path("cat.png")]).text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmchat.assistant import Assistant
    from mmchat.inputs.messages import Message

__version__ = "0.1.0"
__all__ = ["Assistant", "Message", "__version__"]


def __getattr__(name: str) -> Any:
    """Import what is asked for and nothing else: `import mmchat` stays light."""
    if name == "Assistant":
        from mmchat.assistant import Assistant

        return Assistant
    if name == "Message":
        from mmchat.inputs.messages import Message

        return Message
    raise AttributeError(f"module 'mmchat' has no attribute {name!r}")
