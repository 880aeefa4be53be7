"""Keys and tokens that are known by the form that their makers gave them, wherever they stand."""

from __future__ import annotations

import re

from heisenberg.redact.kinds import Kind, Span

MIN_RUN = 20
"""Characters of the longest run in any of them: letters, digits, `_`, `-` and `~`."""
_REACH = 96
"""Characters before and after a run that may belong to a token of several runs."""

_ONE_RUN = (
    r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}(?![A-Za-z0-9])",  # AWS
    r"AIza[\w-]{35}",  # Google
    r"GOCSPX-[\w-]{24,}",
    r"gh[pousr]_[A-Za-z0-9]{16,}",  # GitHub
    r"github_pat_\w{16,}",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[\w-]{16,}",  # GitLab
    r"xox[abceoprs]-(?:\d-)?[\w-]{10,}",  # Slack
    r"xapp-\d-[\w-]{16,}",
    r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}",  # Stripe
    r"whsec_[A-Za-z0-9]{20,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[\w-]{40,}",
    r"(?:hf|api_org)_[A-Za-z]{30,}(?![A-Za-z0-9])",  # Hugging Face
    r"hf_[A-Za-z0-9]{30,}",
    r"SK[0-9a-f]{32}(?![A-Za-z0-9])",  # Twilio
    r"key-[0-9a-f]{32}(?![A-Za-z0-9])",  # Mailgun
    r"[0-9a-f]{32}-us\d{1,2}(?!\w)",  # Mailchimp
    r"xkeysib-[0-9a-f]{64}-\w{16}",  # Brevo
    r"dckr_[op]at_[\w-]{20,}",  # Docker Hub
    r"do[opr]_v1_[0-9a-f]{64}",  # DigitalOcean
    r"dapi[0-9a-f]{32}",  # Databricks
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",  # Shopify
    r"sq0(?:atp|csp)-[\w-]{22,}",  # Square
    r"EAAA[\w-]{56,}",
    r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}",  # Linear
    r"(?:ntn|secret)_[A-Za-z0-9]{40,}",  # Notion
    r"gl(?:sa|c)_[\w+/=]{28,}",  # Grafana
    r"sntry[su]_[\w-]{40,}",  # Sentry
    r"NRAK-[A-Z0-9]{24,}",  # New Relic
    r"HRKU-[\w-]{32,}",  # Heroku
    r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",  # Postman
    r"pscale_(?:tkn|pw|oauth)_[\w-]{30,}",  # PlanetScale
    r"sb(?:p_[0-9a-f]{40}|_secret_[\w-]{20,})",  # Supabase
    r"AT(?:ATT3|CTT3|BB)[\w=-]{24,}",  # Atlassian
    r"fig[dopr]_[\w-]{36,}",  # Figma
    r"rubygems_[0-9a-f]{48}",
    r"sq[pua]_[0-9a-f]{40}",  # SonarQube
    r"CCIPAT_\w{20,}",  # CircleCI
    r"bk(?:ua|ct|aj)_[0-9a-f]{40}",  # Buildkite
    r"pul-[0-9a-f]{40}",  # Pulumi
    r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    r"LTAI[A-Za-z0-9]{16,20}(?![A-Za-z0-9])",  # Alibaba
    r"oy2[a-z0-9]{43}",  # NuGet
    r"(?:gsk|r8|xai|pplx|nvapi|tvly|lsv2|fw|csk)[-_](?=\w{0,99}\d)[\w-]{30,}",  # hosts of models
    r"sk-(?=[\w-]{0,99}\d)[\w-]{16,}",  # OpenAI, Anthropic and those that follow them
    r"\w{3}\dQ~[\w~-]{30,}",  # Azure application
    r"[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{20,30}",  # Azure resources
)
_SEVERAL_RUNS = (
    r"SG\.[\w-]{16,32}\.[\w-]{20,}",  # SendGrid
    r"ya29\.[\w-]{20,}",  # Google
    r"1//0[\w-]{30,}",
    r"4/0A[\w-]{20,}",
    r"hv[sbr]\.[\w-]{20,}",  # Vault
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[\w-]{1,35}\.)?[A-Za-z0-9]{36,}",  # Doppler
    r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,}",  # Terraform
    r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}",  # Airtable
    r"[MNO][\w-]{22,28}\.[\w-]{6}\.[\w-]{27,}",  # Discord
    r"\d{8,10}:AA[\w-]{32,}",  # Telegram
    r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{20,}",
    r"discord(?:app)?\.com/api/webhooks/\d{10,20}/[\w-]{40,}",
    r"webhook\.office\.com/webhookb2/[\w@/-]{60,}",
)

_WHOLE = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(_ONE_RUN) + ")", re.ASCII)
_PARTS = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=[\[;\d]\dm)|(?<=%[0-9A-Fa-f]{2}))(?:"
    + "|".join(_SEVERAL_RUNS)
    + ")",
    re.ASCII,
)
HEX = re.compile(rf"[0-9a-f-]{{{MIN_RUN},}}+(?![\w~-])", re.ASCII)
"""A run that is an id or a digest."""
_RUN = re.compile(r"[\w~-]++", re.ASCII)
_ESCAPE = re.compile(
    r"(?<=\\)(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[abfnrtv])|(?<=%)[0-9A-Fa-f]{2}|(?<=[\[;])\d{1,3}m"
)
"""The rest of an escape that looks like the beginning of a word: `\\n`, `%3D`, a terminal's colour."""
_OWN = re.compile(
    r"(?<![A-Za-z0-9])hb_(?P<prefix>[A-Za-z0-9]{1,64})_(?P<secret>[\w-]{8,512})", re.ASCII
)
_JWT = re.compile(r"eyJ[\w-]{8,8192}+\.[\w-]{4,65536}+(?:\.[\w-]*+)?", re.ASCII)


def run_at(text: str, start: int) -> tuple[int, int]:
    """The run that begins at a place, without the rest of an escape at its beginning."""
    match = _RUN.match(text, start)
    end = match.end() if match else start + 1
    escape = _ESCAPE.match(text, start)
    return (escape.end() if escape else start), end


def find_in_run(text: str, start: int, end: int) -> Span | None:
    """The first key of a known maker in a run, or one that the run is a part of."""
    run = text[start:end]
    if "hb_" in run and (own := _OWN.search(run)) and not _DIGITS.isdisjoint(own[0]):
        return Span(start + own.start("secret"), start + own.end("secret"), Kind.API_KEY)
    if "eyJ" in run and (token := _JWT.match(text, start + run.index("eyJ"))):
        return Span(token.start(), token.end(), Kind.JWT)
    match = _WHOLE.search(run)
    if match:
        return Span(start + match.start(), start + match.end(), Kind.API_KEY)
    if text[start - 1 : start] in _JOINTS or text[end : end + 1] in _JOINTS:
        for match in _PARTS.finditer(text, max(0, start - _REACH), min(len(text), end + _REACH)):
            if match.end() > start and match.start() < end:
                return Span(match.start(), match.end(), Kind.API_KEY)
    return None


_DIGITS = frozenset("0123456789")
_JOINTS = frozenset("./:")
