"""Entry of the Hugging Face Space: the page over the bundled model, or over the one that MMCHAT_MODEL names."""

import os

from mmchat.serving.web import launch

if __name__ == "__main__":
    # A Space tells Gradio's apps through this variable to listen beyond the machine.
    launch(os.environ.get("MMCHAT_MODEL") or None, host=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
