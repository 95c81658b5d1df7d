"""A strategy gone wild is stopped by each of the gates that are there for it, within its limit."""

import json

import pytest

from tickgate.host.cli import main
from tickgate.sim import knight

BY_GATE = {scenario.gate: scenario for scenario in knight.SCENARIOS}


def stop(gate: int) -> knight.Stop:
    stopped = knight.run(BY_GATE[gate], quiet=True)
    assert stopped.within, stopped
    assert stopped.position == stopped.orders * knight.QUANTITY
    # All others let everything pass, but for those that go with a killed card.
    assert stopped.others_refused == 0
    assert " ".join(stopped.kill_causes) == BY_GATE[gate].kills
    return stopped


def test_the_message_rate_stops_it_and_the_command_tells_where(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "knight", "--gate", "18", "--json", "-"])
    assert not ended.value.code
    (row,) = json.loads(capsys.readouterr().out)
    assert row["gate"] == 18 and row["within"] and not row["kill_causes"]
    assert row["orders"] == row["used"] == knight.ORDERS
    assert row["refused"] >= knight.STOPPED and not row["others_refused"]


def test_gross_exposure_stops_it():
    stopped = stop(7)
    # The next order did not fit.
    assert stopped.limit - stopped.used < knight.QUANTITY * knight.START
    assert stopped.refused
    # The price rose on, and so did what was held: measured above, which kills.
    assert stopped.gross > stopped.limit


def test_a_loss_stops_it():
    stopped = stop(30)
    # The last order found less, and that tick or the next made it more.
    assert stopped.used <= stopped.limit < stopped.loss
    a_tick = stopped.position * knight.CENT + knight.QUANTITY * 2 * knight.CENT
    assert stopped.loss <= stopped.used + 2 * a_tick


def test_without_a_limit_it_goes_on(monkeypatch):
    monkeypatch.setattr(knight, "TICKS", 48)
    stopped = knight.run(knight.Scenario(gate=18, name="none", limit=0), quiet=True)
    assert stopped.ticks == knight.TICKS and stopped.orders > 40 and not stopped.within
