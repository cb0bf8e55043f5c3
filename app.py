"""Entry of the Hugging Face Space: the page over the bundled model, or over the one that MMCHAT_MODEL names."""

import os

from mmchat.serving.web import Door, launch

if __name__ == "__main__":
    # A Space tells apps of Gradio through this variable to listen beyond the machine. It wants to see a page soon,
    # and nothing that is said there is kept.
    host, space = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), "SPACE_ID" in os.environ
    launch(os.environ.get("MMCHAT_MODEL", "").split(), Door(host, keep=not space, framed=space, load_first=not space))
