"""What can go wrong between a person, the host and the card, each with its exit code."""

__all__ = [
    "CardMismatch",
    "CardRefused",
    "CardUnreachable",
    "ConfigError",
    "FrameError",
    "HostError",
    "NotInForce",
    "UserError",
]


class HostError(Exception):
    """Any failure that has a message for a person; `exit_code` is what the command line returns."""

    exit_code = 1


class UserError(HostError):
    """A mistake of the user: an unknown name, a value out of range, a port that cannot be."""

    exit_code = 2


class ConfigError(UserError, ValueError):
    """A configuration that is not valid; the message names the file, the key and what to do."""


class CardUnreachable(HostError):
    """The port does not open, or no valid reply came within all attempts."""

    exit_code = 3


class CardRefused(HostError):
    """The card answered and said no.

    `status` is the reply's status code, or None if the refusal shows in the card's state (an
    arm or a commit that did not take).
    """

    exit_code = 4

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NotInForce(CardRefused):
    """What the card holds is not what was written to it."""


class CardMismatch(HostError):
    """The card is not one this host can drive: not a tickgate card, or another register map."""

    exit_code = 5


class FrameError(ValueError):
    """Octets that are not a frame: COBS, length or CRC wrong."""
