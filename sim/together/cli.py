"""The command `tickgate trade`.

Exit codes: 0 the three agree, 1 they do not or the day ended early, 2 a mistake of the user.

Ref: docs/exchange.md, "Together with the card".
"""

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tickgate.sim.capture import InputError

__all__ = ["trade"]

Share = Annotated[float, typer.Option(min=0, max=1, help="Share of frames, each way.")]


def trade(
    orders: Annotated[int, typer.Option(min=1, help="Orders after which the day ends.")] = 200,
    seconds: Annotated[float, typer.Option(min=1, help="Or after so long.")] = 300.0,
    rate: Annotated[
        float, typer.Option(min=1, help="Messages of other participants, a second.")
    ] = 300.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the market and of the wire.")] = 1,
    rest: Annotated[
        bool, typer.Option("--rest", help="Orders rest until a kill in the end cancels them.")
    ] = False,
    drop: Share = 0.0,
    duplicate: Share = 0.0,
    reorder: Share = 0.0,
    corrupt: Share = 0.0,
    pcap: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record the frames at the venue's end of the wire."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all as JSON; - prints.")
    ] = None,
) -> None:
    """A venue, a virtual card and its host trade together, and must agree on everything.

    They are programs on a network of their own, which needs no root where the system allows user
    namespaces.
    """
    from tickgate.sim import outputs
    from tickgate.sim.virtual import NamespaceError, in_own_network

    for file in (json_file, pcap):
        if file is not None and file != Path("-"):
            outputs.require_writable(file)
    wire = {"drop": drop, "duplicate": duplicate, "reorder": reorder, "corrupt": corrupt}
    options = {"orders": orders, "seconds": seconds, "rate": rate, "seed": seed}
    options["rest"] = rest
    options["pcap"] = None if pcap is None else str(pcap.absolute())
    options["impairments"] = {name: share for name, share in wire.items() if share}
    with tempfile.TemporaryDirectory(prefix="tickgate-") as folder:
        result = Path(folder) / "day.json"
        module = ("-m", "tickgate.sim.together.day", json.dumps(options), str(result))
        try:
            day = in_own_network(
                [sys.executable, *module], stdout=sys.stderr if json_file == Path("-") else None
            )
        except NamespaceError as error:
            raise InputError(f"{error}. `tickgate demo` shows the card without a network") from None
        while day.poll() is None:
            try:
                day.wait()
            except KeyboardInterrupt:
                day.send_signal(signal.SIGINT)
        if result.exists() and json_file is not None:
            text = result.read_text()
            if json_file == Path("-"):
                typer.echo(text, nl=False)
            else:
                with outputs.create(json_file) as file:
                    file.write(text)
    raise typer.Exit(day.returncode)
