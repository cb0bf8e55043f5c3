"""What the page says, in English and in Chinese: labels in the browser, and phrases that come with the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr

from mmchat.errors import (
    AudioError,
    BusyError,
    CheckpointError,
    ContextError,
    HistoryError,
    ImageError,
    MessageError,
    MmchatError,
    OptionError,
)


@dataclass(frozen=True)
class Phrases:
    """What is said below answers and above them, in one language."""

    stopped: str
    """The receipt of an answer that the person stopped."""
    first_token: str
    tokens: str
    cut: str
    keep: str
    looked: str
    take_back: str
    by_voice: str
    """An example that is a clip without words."""
    parameters: str
    context: str
    picture: str
    voice: str
    where_it_looked: str
    """What a map of it can tell, and what not."""
    not_kept: str
    changed: str
    """Of a conversation, from elsewhere."""
    failed: str
    """An error that is nobody's to mend but the host's."""
    problems: Mapping[type[MmchatError], str]
    """What kind of error it is and what to do, before the error itself, which is English in all languages."""

    def problem(self, error: MmchatError) -> str:
        """An error as it is told."""
        kinds = (told for kind, told in self.problems.items() if isinstance(error, kind))
        return f"{next(kinds, '')}{error}"


ENGLISH = Phrases(
    stopped="stopped",
    first_token="first token {seconds} s",
    tokens="{tokens} tokens, {rate} a second",
    cut="cut at {tokens} tokens, the longest answer",
    keep="Keep answer {number}",
    looked="Where it looked",
    take_back="Take back",
    by_voice="a picture, and a spoken question",
    parameters="{millions} million parameters",
    context="context {tokens} tokens",
    picture="a picture {tokens}",
    voice="a second of voice {tokens}",
    where_it_looked=(
        "Red: hiding this part makes the answer less probable. Where two parts say the same, neither is red; and why "
        "the answer depends on a part, it cannot tell.  \n"
        "Blue: where the decoder looks while it answers. That may be of no use to the answer, and what was read once "
        "needs no looking at any more."
    ),
    not_kept="nothing more is kept: {error}",
    changed="this conversation was changed in another tab or program: copy what you typed, and reload the page",
    failed="something went wrong on our side; the server's log says what",
    problems={},
)
CHINESE = Phrases(
    stopped="已停止",
    first_token="首个 token {seconds} 秒",
    tokens="{tokens} 个 token,每秒 {rate} 个",
    cut="在 {tokens} 个 token 处截断(回答的最大长度)",
    keep="保留回答 {number}",
    looked="它看了哪里",
    take_back="收回",
    by_voice="一张图片,用语音提问",
    parameters="{millions}M 参数",
    context="上下文 {tokens} 个 token",
    picture="每张图片 {tokens} 个",
    voice="每秒语音 {tokens} 个",
    where_it_looked=(
        "红色:遮住这一部分会使回答的概率降低。如果两个部分表达相同的内容,两者都不会变红;"
        "它也不能说明回答为什么依赖某一部分。  \n"
        "蓝色:解码器在回答时看的地方。看了不一定对回答有用,而已经读过的内容不需要再看。"
    ),
    not_kept="此后的内容不再保存:{error}",
    changed="这个对话已在其他标签页或程序中更改,请复制已输入的内容并重新加载页面",
    failed="我们这边出了问题,详情见服务器日志",
    problems={
        ImageError: "这张图片无法使用,请换一张:",
        AudioError: "这段录音无法使用,请换一段:",
        MessageError: "这条消息无法发送:",
        OptionError: "请检查设置:",
        ContextError: "内容太长,请缩短消息或开始新对话:",
        CheckpointError: "模型无法加载:",
        HistoryError: "对话记录无法使用:",
        BusyError: "请稍等再试:",
        MmchatError: "出了问题:",
    },
)


def phrases_for(request: gr.Request) -> Phrases:
    """Those of the language that a browser asks for first."""
    return CHINESE if str(request.headers.get("accept-language", "")).lower().startswith("zh") else ENGLISH


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

MICROPHONE_OFF = {
    "en": (
        "⚠ The microphone is off: browsers allow it on https:// pages and on this computer alone. Open this page over "
        "https, or drop a recording instead."
    ),
    "zh": "⚠ 麦克风不可用:浏览器只允许 https:// 页面或本机页面使用麦克风。请通过 https 打开本页,或拖入录音文件。",
}
