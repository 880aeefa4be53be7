"""Every error that Heisenberg raises on purpose.

    HeisenbergError
    ├── UsageError           the command cannot be carried out as given
    │   └── NoReportError    no readable test report among the paths
    ├── SourceError          a path cannot be opened or walked
    └── ReadError            an artefact's bytes are not what they should be
        ├── UnknownFormatError   no reader claims it
        ├── MalformedError       claimed, but broken: truncated, invalid, wrong type
        └── TooLargeError        beyond a stated limit

A message names what, where and what to do next. It is shown to the user as one line.
"""


class HeisenbergError(Exception):
    """Base of the tree: catch it to catch all that is ours."""


class UsageError(HeisenbergError):
    """The command cannot be carried out as it was given."""


class NoReportError(UsageError):
    """None of the paths holds a test report that can be read."""


class SourceError(HeisenbergError):
    """A path does not exist, or cannot be opened or walked."""


class ReadError(HeisenbergError):
    """An artefact cannot be read. The message does not repeat the artefact's name."""


class UnknownFormatError(ReadError):
    """No reader recognises the content."""


class MalformedError(ReadError):
    """A reader recognises the content, and it is broken."""


class TooLargeError(ReadError):
    """The artefact, or a part of it, is beyond a stated limit."""
