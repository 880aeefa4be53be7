"""Every error that Heisenberg raises on purpose.

    HeisenbergError
    ├── UsageError           the command cannot be carried out as given
    │   └── NoReportError    no readable test report among the paths
    ├── DatabaseError        the service's database cannot be reached or used
    ├── SourceError          a path cannot be opened or walked
    ├── ReadError            an artefact's bytes are not what they should be
    │   ├── UnknownFormatError   no reader claims it
    │   ├── MalformedError       claimed, but broken: truncated, invalid, wrong type
    │   └── TooLargeError        beyond a stated limit
    └── EngineError          what diagnoses (a worker process, a model provider) gave no answer
        ├── TransientEngineError         the same request may succeed later
        │   ├── EngineRateLimitedError   too many requests of ours
        │   ├── EngineOverloadedError    too many requests of everybody's
        │   ├── EngineTimeoutError       no answer in time; a TimeoutError too
        │   └── EngineUnreachableError   no connection, or it broke; a ConnectionError too
        ├── EngineAuthenticationError    the credentials are wrong: trying again changes nothing
        ├── EngineRejectedError          the request is wrong: likewise
        │   └── EngineContextError       longer than the model reads: a shorter one may do
        └── EngineAnswerError            it answered, and not as it was asked to

A message names what, where and what to do next. It is shown to the user as one line.
"""


class HeisenbergError(Exception):
    """Base of the tree: catch it to catch all that is ours."""


class UsageError(HeisenbergError):
    """The command cannot be carried out as it was given."""


class NoReportError(UsageError):
    """None of the paths holds a test report that can be read."""


class DatabaseError(HeisenbergError):
    """The service's database cannot be reached, or not be used as it is."""


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


class EngineError(HeisenbergError):
    """What diagnoses gave no answer: a worker process, or a model provider."""

    def __init__(self, message: str, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Say what happened.

        Args:
            message: What the engine did.
            input_tokens: Read by a model all the same, and paid.
            output_tokens: Written by it, and paid.
        """
        super().__init__(message)
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens


class TransientEngineError(EngineError):
    """The fault is of the moment: the same request may succeed later."""

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        input_tokens: int = 0,
        output_tokens: int = 0,
    ) -> None:
        """Say what happened.

        Args:
            message: What the engine did.
            retry_after_s: Seconds after which it asked to be tried again, if it did.
            input_tokens: Read by a model all the same, and paid.
            output_tokens: Written by it, and paid.
        """
        super().__init__(message, input_tokens=input_tokens, output_tokens=output_tokens)
        self.retry_after_s = retry_after_s


class EngineRateLimitedError(TransientEngineError):
    """We asked more often than the engine allows us to."""


class EngineOverloadedError(TransientEngineError):
    """The engine has more work than it can take, whoever it is from."""


class EngineTimeoutError(TransientEngineError, TimeoutError):
    """The engine did not answer in time."""


class EngineUnreachableError(TransientEngineError, ConnectionError):
    """The engine cannot be connected to, or the connection broke."""


class EngineAuthenticationError(EngineError):
    """The engine does not accept the credentials; trying again changes nothing."""


class EngineRejectedError(EngineError):
    """The engine does not accept the request as it is; trying again changes nothing."""


class EngineContextError(EngineRejectedError):
    """The request is longer than the model can read."""


class EngineAnswerError(EngineError):
    """The answer is not what was asked for, after a second chance: cut off, malformed, or a refusal."""
