"""What the page has in the browser beside Gradio's own: styles and scripts."""

from __future__ import annotations

import json

from mmchat.serving.words import MICROPHONE_OFF

CSS = """
.gradio-container { width: 100%; max-width: 60rem; margin: 0 auto; }
#about h2, #about p { margin: 0; }
#chat .placeholder { padding: 1rem; text-align: center; }
#chat img { max-height: 12rem; width: auto; }
#chat small { opacity: 0.7; }
#conversations .wrap { flex-direction: column; flex-wrap: nowrap; max-height: 40vh; overflow-y: auto; }
#conversations label { width: 100%; }
#conversations label span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
/* Answers to choose from stand side by side, on a phone below each other; what they took, below them. */
#chat .bot.message:has(.choice) { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; }
#chat .bot.message:has(.choice) > .message { flex: 1 1 100%; }
#chat .bot.message:has(.choice) > .message:has(.choice) { flex: 1 1 14rem; width: auto; margin: 0; }
#players .prose { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.75rem; }
#players:not(:has(audio)) { display: none; }
#players audio { height: 2rem; max-width: 100%; }
/* The share button that Gradio puts beside uploads would send them to a public server, and what it makes of a message
   that was edited beside them never arrives. */
#chat .message-buttons:has(.download-link) { display: none; }
"""
READ_ALOUD = """() => {
    const speech = window.speechSynthesis;
    if (speech.speaking) { speech.cancel(); return; }
    const parts = [...document.querySelectorAll('#chat .bot .prose')];
    const said = parts.filter((each) => !each.querySelector('small:not(.choice)'));
    if (said.length) speech.speak(new SpeechSynthesisUtterance(said[said.length - 1].innerText));
}"""
MARK_ADDRESS = """(number) => {
    const address = new URL(window.location);
    if (number) address.searchParams.set('chat', number); else address.searchParams.delete('chat');
    window.history.replaceState(null, '', address);
}"""
_FOLLOW = """
    document.addEventListener('click', (event) => {
        const link = event.target.closest('#chat small a[role=button]');
        if (!link) return;
        event.preventDefault();
        event.stopPropagation();
        const [act, bubble] = link.hash.slice(1).split('-');
        window.mmchatLinked = Number(bubble);
        document.getElementById(act).click();
    }, true);
    document.addEventListener('keydown', (event) => {
        if (event.key !== ' ' || !event.target.matches('#chat small a[role=button]')) return;
        event.preventDefault();
        event.target.click();
    });
"""
# Gradio copies the Markdown of all parts of a bubble: the line under an answer, and words with marks as entities.
_COPY_WORDS = r"""
    let copying = false;
    document.addEventListener('click', (event) => {
        copying = event.target.closest('#chat .message-buttons') !== null;
    }, true);
    const words = (markdown) => {
        const box = document.createElement('textarea');  // its content is text: entities are read, tags are not
        box.innerHTML = markdown.replace(/<small class="choice">(\d+)<\/small>/g, '$1.')
            .replace(/\s*<small>[^]*?<\/small>\s*/g, '\n').trim().replace(/</g, '&lt;');
        return box.value.replaceAll('\u00a0', ' ');
    };
    const clipboard = navigator.clipboard;
    const write = clipboard && clipboard.writeText.bind(clipboard);
    if (write) clipboard.writeText = (text) => write(copying ? words(text) : text);
"""
# Gradio uploads pasted pictures one by one, and shows them in the order in which they arrive; dropped ones, together.
_PASTE_TOGETHER = """
    document.addEventListener('paste', (event) => {
        const { files, types } = event.clipboardData;
        const pictures = [...files].filter((file) => file.type.startsWith('image/'));
        const words = types.includes('text/plain') && types.includes('text/html');  // of a document, with its picture
        if (pictures.length < 2 || words || !event.target.closest('#composer')) return;
        event.preventDefault();
        event.stopPropagation();
        const dataTransfer = new DataTransfer();
        pictures.forEach((picture) => dataTransfer.items.add(picture));
        event.target.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer }));
    }, true);
"""
PLAYERS = """(message) => {
    const list = document.createElement('div');
    const sounds = /\\.(wav|mp3|flac|ogg|oga|opus|aiff?)$/i;  // some systems do not know the type of the last ones
    const heard = (file) => /^audio\\//.test(file.mime_type) || sounds.test(file.orig_name);
    for (const file of message.files.filter(heard)) {
        const name = list.appendChild(document.createElement('span'));
        name.textContent = file.orig_name;
        const player = list.appendChild(document.createElement('audio'));
        player.setAttribute('controls', '');
        player.setAttribute('aria-label', file.orig_name);
        player.setAttribute('src', file.url);
    }
    return list.innerHTML;
}"""
"""A player for each clip of the message that is being written; Gradio shows a note in its place."""
# Gradio leaves pictures of the chat and of the composer without a name for screen readers, whatever it is given.
BEGIN = f"""() => {{
    const bare = '#chat img[alt=""], #composer .thumbnail-item img[alt=""]';
    const name = () => document.querySelectorAll(bare).forEach((picture) => {{
        picture.alt = decodeURIComponent(picture.src.split('/').pop());
    }});
    new MutationObserver(name).observe(document.body, {{ childList: true, subtree: true }});
    {_FOLLOW}
    {_COPY_WORDS}
    {_PASTE_TOGETHER}
    const off = {json.dumps(MICROPHONE_OFF)};
    return navigator.mediaDevices ? '' : off[navigator.language.startsWith('zh') ? 'zh' : 'en'];
}}"""
"""When a tab opens: follows the links of bubbles, copies what was said alone, keeps the order of what is pasted, names
what is seen, and says why there is no microphone where there is none.
"""
LINKED = "(_, ...rest) => [window.mmchatLinked, ...rest]"
"""The number of the bubble whose link was pressed, in the place of the first input."""
