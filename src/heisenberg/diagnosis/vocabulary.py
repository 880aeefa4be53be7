"""Words in which a failure can be told without saying anything that its evidence does not show.

A model's sentence consists of words of the evidence and of these, or nearly so: then it can tell
what happened, and not much else. They are words for what software does and suffers, not for what
somebody should do.
"""

from __future__ import annotations

import re

PREFIX = 5
"""Characters by which two words count as one: `restart` and `restarted`, `postgres` and `postgresql`."""

_WORD = re.compile(r"[^\W\d]\w{2,}|\d{2,}")
_DULL = frozenset(
    re.findall(
        r"\w+",
        """the and for with that this from was were has have had not but are its into when while then
        than because after before which where what there their they does did can cannot could should
        would only also both each any all some more most very much too just being been will may
        about over under without within through against onto upon via per yet nor""",
    )
)
"""Words that say nothing by themselves."""

WORDS = """
absent access account actual address again already although always amount answer another api appear
application ascii assert asynchronous attempt authentic authorization available away backend balance
because becomes before behind between body both bound breaks broken browser buffer bug button cache call
cancel capacity cart case cause caused certificate chance change character check checkout class clean
clear click client clock close code collision column command commit compare complete component concurrent
condition configuration conflict connect connection constraint contain container content contract control
corrupt count coupon crash created currency current cursor data database date deadlock debounce default defect
delay denied dependency deploy deserialize different directory disabled disk display distinct doubled down
downstream driver dropped due duplicate during early element empty enabled encode endpoint engine entity entry
environment error event exceed exception exhausted exist exit expect expire external fail failure false fast
fetch field file filesystem find fixed fixture flaky folder font forbidden foreign form format found freed
frontend full function gateway gives gone handle handler hang happen header heading heap height hence hidden host
html http identifier ignored incomplete incorrect index input insert instance instead integer intermittent
internal interval invalid isolated isolation item job json key killed label language late latency lead leak left
length library limit line link list load locale locator lock logic login long look lost made make mapping match
memory message method middleware migration minute mismatch missing mock module moment move name navigation
negative network never new next none null number object occur offset old once one open operation option order
other out outage outdated output overflow override own page parallel parameter parse part password path payload
payment pending permission pool port precision previous price process produce product promise provider proxy
query queue quota race raise random range rate reach read ready real receive record reference refused register
reject related released remain removed renamed render renderer replica repeat report request require reset
resolve resource respond response restart result retry return returned role rollback root rounding route row run
runner same schema script search second see selector send separate sequence serialize serve server service session
set setup shared shift shipping short show shut signal since size sleep slow snapshot socket some sometimes source
space split stack stale start state status step still stock stop storage stored string style subject sum suite
swap symbol synchronous system table target task teardown template temporary terminate test text thread throw
time timeout timezone title tls together token total transaction transition translate trigger true truncated
twice two type unavailable uncaught undefined unexpected unhandled unicode unique unknown unreachable until
update upstream url user value variable version violate visible volume wait warm wide window work worker write
written wrong zero zone
ahead minutes seconds hours milliseconds
fail fails failed failing runs ran running uses used using makes making takes took taking gets got getting
sets loses losing holds held keeps kept goes went going comes came gone adds added cuts looks reads waits
sends sent hits calls opens closes counts shows leads needs asks has lacks lacking
"""


def telling(text: str) -> set[str]:
    """The words of a text that say something, by their beginnings."""
    return {word[:PREFIX] for w in _WORD.findall(text) if (word := w.lower()) not in _DULL}


PLAIN = frozenset(telling(WORDS))
"""Beginnings of the words that need no evidence."""
