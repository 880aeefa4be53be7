"""Models at Anthropic, OpenAI and whoever speaks OpenAI's wire format, behind one interface.

`registry` names them and imports nothing heavy. `session` asks any of them; `anthropic`, `openai`
and `compatible` say what differs. The SDKs come with the extra `llm`.
"""
