"""Notice text that speaks to whoever reads it, rather than telling what happened.

A log line that tells a model what to answer is no evidence, and is withheld. Only what hardly any
program logs of itself counts, as a withheld line is lost; nothing hangs on finding them all, since
what a model makes of the others is checked by `judgement`.
"""

from __future__ import annotations

import re
import unicodedata

_ADDRESSES = re.compile(
    r"""
    # Set aside what you were told.
    \b(?:ignore|disregard|forget|override|bypass)\W{1,3}(?:\w{1,12}\W{1,3}){0,4}(?:instructions?|prompts?|guidelines)\b
    # You are somebody else.
  | \byou(?:'re|\ are)\ (?:now|no\ longer)\ (?:(?:an?|the)\ )?
      (?:ai|assistant|llm|chatbot|(?:language\ )?model|expert|analyst)\b
  | \b(?:dear|attention|note\ to|message\ (?:to|for)|memo\ (?:to|for))[ ,:]{1,2}(?:(?:the|any|all)\ )?
      (?:ai|assistants?|language\ models?|llms?|chatgpt|gpt|claude|gemini|copilot)\b
    # What to answer.
  | ["']root_cause["']\s{0,3}: | \bsuggested_fix\b
  | \b(?:you|the\ (?:ai|assistant|model))\ must\ (?:(?:now|only|always|not)\ )?
      (?:answer|reply|say|conclude|cite|diagnose|classify)\b
  | \b(?:reveal|repeat|leak)\ (?:\w{1,10}\ ){0,3}(?:system\ prompt|instructions)\b
    # The marks of a conversation, or of our own prompt.
  | <\|[a-z_]{3,20}\|> | \[/?INST\] | <</?SYS>> | </?(?:system|assistant|human|instructions?)>
  | ^\s{0,8}(?:\#{1,4}\s{0,3})?(?:assistant|human)\s{0,3}:\s | ^\s{0,8}\#{2,4}\s{0,3}(?:system|instructions?)\b
  | ^\s{0,8}(?:[ES]\d{1,3}|[HT])\|
    # The same in some other languages.
  | \b(?:ignorez|ignoriere|ignora|ignore|zignoruj|ignoruj)\b[^\n]{0,40}
      \b(?:anweisungen|instrucciones|istruzioni|instruções|instrukcj\w{1,5}|polecen\w{1,5})\b
    """,
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0410\u0415\u041e\u0420\u0421\u0423\u0425\u0406",
    "aeopcyxiAEOPCYXI",
)
"""Cyrillic letters that pass for Latin ones."""


def speaks_to_reader(text: str) -> bool:
    """Whether a text gives instructions to whoever reads it, or poses as part of a conversation."""
    plain = text
    if not text.isascii():
        plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).translate(_LOOKALIKES)
    return _ADDRESSES.search(plain) is not None
