"""Whether a text refuses to answer.

A part of quality. Models refuse in few words and with the first of them, so a short text with such an opening is a
refusal, and a long one never is: what explains, quotes or translates a refusal must not be taken for one. The list is
plain on purpose: it misses what is put otherwise, and costs a microsecond.
"""

from typing import Final

LONGEST: Final = 500
"""Characters beyond which a text says more than a refusal does."""

_LONGEST_OPENING: Final = 64

# One form of each sign: typographic apostrophes, Chinese commas, and no quotation or emphasis around the words.
_PLAIN: Final = str.maketrans({"’": "'", "，": ",", "、": ",", "“": None, '"': None, "*": None, "_": None, "「": None})

_OPENINGS: Final = (
    # English
    "i can't help", "i cannot help", "i can't assist", "i cannot assist", "i can't comply", "i cannot comply",
    "i can't provide", "i cannot provide", "i can't fulfill", "i cannot fulfill", "i can't do that",
    "i can't answer that", "i cannot answer that", "i can't create", "i cannot create", "i can't write",
    "i cannot write", "i can't generate", "i cannot generate", "i can't engage", "i cannot engage",
    "i can't support", "i can't discuss", "i cannot discuss",
    "i'm unable to help", "i'm unable to assist", "i'm unable to comply", "i'm unable to provide",
    "i am unable to help", "i am unable to assist", "i am unable to comply", "i am unable to provide",
    "i'm not able to help", "i'm not able to assist", "i'm not able to provide", "i am not able to help",
    "i'm sorry, but i can't", "i'm sorry, but i cannot", "i'm sorry, but i'm unable", "i'm sorry, but i am unable",
    "i'm sorry, i can't", "i'm sorry, i cannot", "i'm sorry, but as an ai", "i am sorry, but i can't",
    "i am sorry, but i cannot", "i am sorry, but i am unable", "sorry, but i can't", "sorry, but i cannot",
    "sorry, i can't", "sorry, i cannot", "i apologize, but i can't", "i apologize, but i cannot",
    "i apologize, but i'm unable", "i apologize, but i am unable", "i'm afraid i can't", "i'm afraid i cannot",
    "i must decline", "i have to decline", "i won't help", "i will not help", "i won't be able to help",
    "as an ai language model", "as an ai assistant, i can", "as an ai, i can", "as an ai model, i can",
    "as a language model, i can",
    # Chinese
    "抱歉,我无法", "抱歉,我不能", "很抱歉,我无法", "很抱歉,我不能", "非常抱歉,我无法", "非常抱歉,我不能",
    "对不起,我无法", "对不起,我不能", "不好意思,我无法", "我无法提供", "我不能提供", "我无法协助", "我不能协助",
    "我无法帮助", "我不能帮助", "我无法回答", "我不能回答", "我无法满足", "我无法完成", "作为一个ai", "作为ai",
    "作为一名ai", "作为人工智能", "作为一个人工智能", "作为语言模型", "抱歉,这个问题我无法", "抱歉,我暂时无法",
    "抱歉,我無法", "抱歉,我不會", "很抱歉,我無法", "對不起,我無法", "對不起,我不能", "我無法提供", "我無法協助",
    "作為ai", "作為一個ai", "作為人工智慧",
    # German, French, Spanish, Portuguese, Italian, Russian
    "es tut mir leid, aber ich kann", "es tut mir leid, ich kann", "tut mir leid, aber ich kann",
    "tut mir leid, ich kann", "entschuldigung, aber ich kann", "ich kann dir dabei nicht", "ich kann ihnen dabei nicht",
    "ich kann dabei nicht helfen",
    "je suis désolé, mais je ne peux", "je suis désolé, je ne peux", "désolé, mais je ne peux", "désolé, je ne peux",
    "je ne peux pas vous aider", "je ne peux pas t'aider", "je ne suis pas en mesure d",
    "lo siento, pero no puedo", "lo siento, no puedo", "no puedo ayudar", "no puedo proporcionar",
    "desculpe, mas não posso", "desculpe, não posso", "sinto muito, mas não posso", "não posso ajudar",
    "mi dispiace, ma non posso", "mi dispiace, non posso", "non posso aiutar",
    "извините, но я не могу", "извините, я не могу", "простите, но я не могу", "к сожалению, я не могу",
    "я не могу помочь",
)  # fmt: skip

# These say sorry first and what they will not do last.
_SORRY: Final = {"죄송": ("수 없", "어렵습니다"), "申し訳": ("できません", "できかねます", "いたしかねます")}


def refuses(text: str) -> bool:
    """Whether `text` is a refusal and nothing more."""
    if len(text) > LONGEST:
        return False
    opening = text.lstrip()[:_LONGEST_OPENING].casefold().translate(_PLAIN)
    if opening.startswith(_OPENINGS):
        return True
    return any(opening.startswith(sorry) and any(end in text for end in ends) for sorry, ends in _SORRY.items())
