"""Notice text that speaks to whoever reads it, rather than telling what happened.

A log line that tells a model what to answer is no evidence, and is withheld. Nothing hangs on
finding them all: what a model makes of the others is checked by `judgement`.
"""

from __future__ import annotations

import re
import unicodedata

_ADDRESSES = re.compile(
    r"""
    # Set aside what you were told.
    \b(?:ignore|disregard|forget|override|bypass|discard)\W{1,3}(?:\w{1,12}\W{1,3}){0,4}
      (?:instructions?|prompts?|rules|directions|guidelines|evidence|hypothesis|told|everything)\b
  | \b(?:new|updated?|real|actual|following|hidden|important)\W{1,3}(?:\w{1,12}\W{1,3}){0,2}
      (?:instructions?|directives?)\b
    # You are somebody else.
  | \byou(?:'re|\ are)\ (?:(?:now|no\ longer|an?|the|in)\ ){0,3}
      (?:ai|assistant|llm|chatbot|(?:language\ )?model|developer\ mode|expert|analyst)\b
  | \b(?:as|dear|hey|hello|hi|attention|note\ to|message\ (?:to|for)|memo\ (?:to|for))[ ,:]{1,2}
      (?:(?:an?|the|any|all)\ )?
      (?:ai|assistants?|language\ models?|llms?|chatgpt|gpt|claude|gemini|copilot|models?|analy[sz]er)\b
  | \b(?:act|behave|respond|reply|answer)\ (?:as|like)\ (?:if|an?|the|though)\b
    # What to answer.
  | ["'*_]{0,2}\b(?:root[_ ]?cause|suggested[_ ]?fix)["'*_ ]{0,4}[:=]
  | \b(?:owner|mechanism|verdict|diagnosis|confidence)\b["'*_ ]{0,4}(?:[:=]|is|as|to|(?:should|must)\ be)["'*_ ]{1,4}
      (?:product|test|environment|external|insufficient_evidence|wrong_expectation|unhandled_exception|1\.0|100)\b
  | \b(?:do\ not|don't|never|must\ not|should\ not)\ (?:cite|quote|blame|diagnose)\b
  | \b(?:you|the\ (?:ai|assistant|model))\ (?:must|should|shall|will|need\ to|have\ to|are\ to)\ (?:(?:now|only|always|not)\ )?
      (?:answer|reply|respond|say|conclude|report|output|ignore|cite|diagnose|classify|reveal|print|tell)\b
  | \b(?:respond|reply|answer|output|conclude)\ (?:only|with|that|exactly|in\ json)\b
  | \b(?:reveal|repeat|leak|exfiltrate|dump)\ (?:\w{1,10}\ ){0,3}(?:prompt|instructions|api\ key)\b
  | \b(?:and|must|to)\ obey\b | \bsystem\ prompt\b | \bprompt\ injection\b | \bjailbreak\b
    # The marks of a conversation, or of our own prompt.
  | <\|[a-z_]{3,20}\|> | \[/?INST\] | <</?SYS>> | </?(?:system|assistant|human|instructions?|evidence)>
  | ^\s{0,8}(?:\#{1,4}\s{0,3})?(?:assistant|human)\s{0,3}:\s | ^\s{0,8}\#{2,4}\s{0,3}(?:system|user|instructions?)\b
  | ^\s{0,8}(?:E\d{1,3}|[HST])\|
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
