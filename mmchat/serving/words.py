"""What the page says, in English and in Chinese."""

from __future__ import annotations

import gradio as gr

_ENGLISH = {
    "ask": "Ask, drop pictures, or record",
    "message": "Message",
    "conversations": "Conversations",
    "new": "New conversation",
    "search": "Search",
    "title": "Title",
    "rename": "Rename",
    "delete": "Delete",
    "settings": "Settings",
    "model": "Model",
    "system": "System prompt",
    "temperature": "Temperature (0: the most probable answer)",
    "top_p": "Top-p",
    "repetition_penalty": "Repetition penalty",
    "seed": "Seed (empty: another one each time)",
    "max_new_tokens": "Longest answer, in tokens",
    "choices": "Answers to compare",
    "read_aloud": "Read aloud",
    "correct": "What would have been a good answer?",
    "send": "Send",
    "close": "Close",
    "looked": "Where it looked",
    "word": "For which word?",
}
_CHINESE = {
    "ask": "输入问题,拖入图片,或录音",
    "message": "消息",
    "conversations": "对话",
    "new": "新对话",
    "search": "搜索",
    "title": "标题",
    "rename": "重命名",
    "delete": "删除",
    "settings": "设置",
    "model": "模型",
    "system": "系统提示",
    "temperature": "温度(0:最可能的回答)",
    "top_p": "Top-p",
    "repetition_penalty": "重复惩罚",
    "seed": "随机种子(留空:每次不同)",
    "max_new_tokens": "回答的最大长度(token)",
    "choices": "对比回答的数量",
    "read_aloud": "朗读",
    "correct": "怎样回答才好?",
    "send": "发送",
    "close": "关闭",
    "looked": "它看了哪里",
    "word": "针对哪个词?",
}

WORDS = gr.I18n(en=_ENGLISH, zh=_CHINESE, **{"zh-CN": _CHINESE, "zh-TW": _CHINESE, "zh-HK": _CHINESE})
"""Labels, in the language of the browser."""

WHERE_IT_LOOKED = (
    "Red: hiding this part makes the answer less probable. Where two parts say the same, neither is red; and why the "
    "answer depends on a part, it cannot tell.  \n"
    "Blue: where the decoder looks while it answers. That may be of no use to the answer, and what was read once needs "
    "no looking at any more."
)
MICROPHONE_OFF = {
    "en": (
        "⚠ The microphone is off: browsers allow it on https:// pages and on this computer alone. Open this page over "
        "https, or drop a recording instead."
    ),
    "zh": "⚠ 麦克风不可用:浏览器只允许 https:// 页面或本机页面使用麦克风。请通过 https 打开本页,或拖入录音文件。",
}
