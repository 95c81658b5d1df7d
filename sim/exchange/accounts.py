"""Who may log in to the venue, from a TOML file.

    [accounts.TRADER]
    password = "secret"
    firm = "TGTE"
    self_match = "cancel-oldest"      # or cancel-newest, decrement, trade (the default)
    cancel_on_disconnect = true       # the default

Ref: SoupBinTCP 4.00, section 2.2.2: names and passwords are not case-sensitive.
"""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tickgate.sim.capture import InputError
from tickgate.sim.exchange.ouch import STRATEGIES

__all__ = ["Account", "default_accounts", "read_accounts"]

Text = Annotated[str, Field(pattern=r"^[!-~]*$")]


class Account(BaseModel):
    """One user: a port, and the account that its trades are booked to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    password: Annotated[Text, Field(max_length=10)] = ""
    firm: Annotated[Text, Field(max_length=4)] = ""
    self_match: str = "trade"
    cancel_on_disconnect: bool = True

    @field_validator("self_match")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in STRATEGIES:
            raise ValueError(f"must be one of {', '.join(STRATEGIES)}")
        return value


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accounts: dict[Annotated[Text, Field(min_length=1, max_length=6)], Account] = Field(
        min_length=1
    )


def default_accounts() -> dict[str, Account]:
    """Two accounts for a first try, so that each has someone to trade with."""
    return {
        "CARD": Account(password="CARD", firm="TGTE"),
        "OTHER": Account(password="OTHER", firm="OTHR"),
    }


def read_accounts(path: Path) -> dict[str, Account]:
    """The accounts of a file by user name, in capitals.

    Raises `InputError` that names the file and the key.
    """
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not TOML: {error}") from None
    try:
        accounts = _File.model_validate(data).accounts
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {key}: {first['msg']}") from None
    named = {name.upper(): account for name, account in accounts.items()}
    if len(named) < len(accounts):
        raise InputError(f"{path}: two accounts differ only in the case of their names")
    return named
