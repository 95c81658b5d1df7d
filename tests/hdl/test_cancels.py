# amaranth: UnusedElaboratable=no

"""Which Cancel Orders are sent when, against the model, and how long it takes at most."""

import pytest
from simulated import Simulated

from tickgate.hdl.order.cancels import PACKET_SIZE, Canceller
from tickgate.sim.model.orders import OrderManager
from tickgate.sim.model.soupbin import Report
from tickgate.spec import ouch50, soupbintcp

SLOTS, SYMBOLS, TOGETHER = 8, 3, 3
SETTLING = 4
"""Cycles without anything after which there is nothing to come."""
NUMBERS = ("number", "symbol", "ended", "answered", "cancel_number", "pull_symbol")


@pytest.fixture(scope="module")
def simulated():
    return Simulated(
        Canceller(slots=SLOTS, symbols=SYMBOLS, segment_size=(TOGETHER + 1) * PACKET_SIZE - 1)
    )


class Bench:
    """A canceller beside a model of the orders; every method plays to both."""

    def __init__(self, dut, ctx, generator) -> None:
        self._dut, self._ctx, self._random = dut, ctx, generator
        self.model = OrderManager(SLOTS)
        self.last = self.cycles = self.written = 0
        self._octets = b""
        self.segments: list[list[int]] = []
        self.stalls = False

    async def cycle(self, **strobes: int) -> None:
        """A cycle in which these inputs are as given, and strobes else low."""
        dut, ctx, octets = self._dut, self._ctx, self._dut.octets
        for name, value in strobes.items():
            ctx.set(getattr(dut, name), value)
        ctx.set(octets.ready, not self.stalls or self._random.random() < 0.6)
        if ctx.get(octets.valid & octets.ready):
            self._octets += bytes([ctx.get(octets.payload.data)])
            if ctx.get(octets.payload.last):
                self.segments.append(list(self._numbers()))
                self._octets = b""
        self.written += ctx.get(dut.cancels)
        await ctx.tick()
        self.cycles += 1
        for name in strobes:
            if name not in (*NUMBERS, "stopped", "open"):
                ctx.set(getattr(dut, name), 0)

    def _numbers(self):
        packets, rest = soupbintcp.split(self._octets)
        assert not rest and 0 < len(packets) <= TOGETHER
        for type_, body in packets:
            assert type_ == "U" and len(body) == 9
            cancel = ouch50.decode(ouch50.INBOUND, body).values
            assert (cancel["type"], cancel["quantity"]) == ("X", 0)
            yield cancel["user_ref_num"]

    @property
    def alive(self) -> list[int]:
        return [number for number, order in self.model.orders.items() if order.alive]

    @property
    def asked(self) -> list[int]:
        return [number for number, state in self.model.cancelling.items() if state == "ASKED"]

    async def send(self, step: int = 1) -> None:
        if self.model.room:
            self.last += step if not self.alive else 1
            symbol = self._random.randrange(SYMBOLS)
            self.model.send(self.last, symbol=symbol, buys=True, quantity=5)
            await self.cycle(sent=1, number=self.last, symbol=symbol)

    async def report(self, kind: str, number: int) -> None:
        values = {"user_ref_num": number, "quantity": 5}
        self.model.report(Report(kind, True, self.model.next_sequence, values))
        if kind in ("CANCELED", "EXECUTED"):
            await self.cycle(ends=1, ended=number)
        else:
            await self.cycle(answers=1, answered=number)

    async def stop(self, stopped: bool) -> None:
        self.model.stop(stopped)
        await self.cycle(stopped=stopped)

    async def cancel_all(self) -> None:
        self.model.cancel_all()
        await self.cycle(cancel_all=1)

    async def pull(self, symbol: int) -> None:
        self.model.pull(symbol)
        await self.cycle(pull=1, pull_symbol=symbol)

    async def cancel(self, number: int) -> bool:
        found = self.model.cancel(number)
        await self.cycle(cancel=1, cancel_number=number)
        await self.cycle()
        assert self._ctx.get(self._dut.found) == found
        return found

    async def disconnect(self) -> None:
        self.model.disconnect()
        await self.cycle(open=0)
        await self.cycle(closed=1)
        self._octets = b""

    async def clear(self) -> None:
        self.model.clear()
        await self.cycle(clear=1)

    async def drain(self) -> set[int]:
        """Has all sent that is to be; returns the numbers."""
        await self.cycle(open=1)
        done = 0
        for _ in range(4 * Canceller.cycles(SLOTS)):
            await self.cycle()
            done = 0 if self._octets or self._ctx.get(self._dut.waits) else done + 1
            if done == SETTLING:
                break
        assert done == SETTLING
        sent = [number for segment in self.segments for number in segment]
        self.segments.clear()
        await self.cycle(open=0)
        assert len(set(sent)) == len(sent)
        return set(sent)

    def compare(self) -> None:
        states = self.model.cancelling.values()
        assert self._ctx.get(self._dut.waits) == ("WANTED" in states)
        assert self._ctx.get(self._dut.asked) == ("ASKED" in states)

    async def anything(self) -> None:
        """An event."""
        pick, model = self._random.choice, self.model
        numbers = self.alive or [1]
        match pick("ssssseeaaoOcccCppdx"):
            case "s":
                await self.send(pick((1, 1, 3, 2 * SLOTS)))
            case "e" if self.alive:
                await self.report(pick(("CANCELED", "EXECUTED")), pick(numbers))
            case "a" if self.alive:
                kind = pick(("CANCEL_PENDING", "CANCEL_REJECT"))
                await self.report(kind, pick(self.asked or numbers))
            case "o":
                await self.stop(True)
            case "O":
                await self.stop(False)
            case "c":
                wrong = (numbers[0] + SLOTS, numbers[-1] ^ 1 << 31, 0, self.last)
                await self.cancel(pick((*numbers, pick(wrong))))
            case "C":
                await self.cancel_all()
            case "p":
                await self.pull(self._random.randrange(SYMBOLS))
            case "d":
                await self.disconnect()
            case "x" if not model.stopped and self._random.random() < 0.2:
                await self.clear()


def test_random_causes_make_the_cancels_that_the_model_has(simulated, generator):
    met = set()

    async def play(ctx):
        bench = Bench(simulated.dut, ctx, generator)
        for _ in range(120):
            for _ in range(generator.choice((0, 2, 9, 20))):
                await bench.anything()
            await bench.cycle()
            await bench.cycle()
            bench.compare()
            bench.stalls = generator.random() < 0.5
            written, wanted = bench.written, bench.model.ask()
            met.add(len(wanted))
            assert await bench.drain() == wanted
            assert bench.written == written + len(wanted)
            bench.compare()

    simulated.run(play)
    assert met >= {0, 1, 2} and max(met) > TOGETHER


def test_an_order_that_ends_meanwhile_is_not_in_the_way_of_the_others(simulated, generator):
    races = set()

    async def play(ctx):
        bench = Bench(simulated.dut, ctx, generator)
        for _ in range(20):
            while bench.model.room:
                await bench.send()
            before = set(bench.alive)
            await bench.cycle(open=1)
            await bench.stop(True)
            ended = set()
            for _ in range(generator.choice((1, 3, SLOTS - 1, SLOTS))):
                for _ in range(generator.randrange(PACKET_SIZE)):
                    # The host asks for one meanwhile, which is looked up in between.
                    await bench.cancel(generator.choice(bench.alive))
                number = generator.choice(bench.alive)
                await bench.report("EXECUTED", number)
                ended.add(number)
            if generator.random() < 0.5:
                await bench.send()
            left = set(bench.alive)
            sent = await bench.drain()
            assert left <= sent <= left | ended and left - before <= {bench.last}
            races.add(sent & ended != set())
            for number in left:
                bench.model.orders[number].cancel = "ASKED"
            bench.compare()
            for number in bench.alive:
                await bench.report("CANCELED", number)
            await bench.stop(False)

    simulated.run(play)
    assert races == {False, True}


def test_a_connection_that_ends_within_a_cancel_has_it_sent_whole_on_the_next(simulated, generator):
    async def play(ctx):
        bench = Bench(simulated.dut, ctx, generator)
        for _ in range(3):
            await bench.send()
        await bench.cancel_all()
        for cycles in range(0, 3 * PACKET_SIZE, 3):
            await bench.cycle(open=1)
            for _ in range(cycles):
                await bench.cycle()
            await bench.disconnect()
            bench.segments.clear()
        bench.model.ask()
        assert await bench.drain() == {1, 2, 3}
        # What was answered is not sent again.
        await bench.report("CANCEL_PENDING", 2)
        await bench.disconnect()
        bench.model.ask()
        assert await bench.drain() == {1, 3}
        bench.compare()

    simulated.run(play)


def test_an_order_that_leaves_in_the_cycle_of_the_cause_is_cancelled_and_later_ones_are_not(
    simulated, generator
):
    async def play(ctx):
        bench = Bench(simulated.dut, ctx, generator)
        await bench.cycle(sent=1, number=1, cancel_all=1)
        await bench.cycle(sent=1, number=2)
        assert await bench.drain() == {1}
        await bench.cycle(sent=1, number=3, stopped=1)
        await bench.cycle(sent=1, number=4)
        assert await bench.drain() == {2, 3, 4}
        await bench.cycle(sent=1, number=5, stopped=0)
        assert await bench.drain() == set()
        # One that takes the slot of an open one has nothing to do with the cancel of that.
        await bench.cycle(sent=1, number=3 + SLOTS)
        await bench.cycle(cancel_all=1)
        assert await bench.drain() == {5, 3 + SLOTS}

    simulated.run(play)


@pytest.mark.parametrize("left", [range(1, SLOTS + 1), (1,), (3, SLOTS), (2, 4, 5, 7)])
def test_the_last_cancel_is_written_in_the_time_that_is_promised(simulated, generator, left):
    taken = []

    async def play(ctx):
        bench = Bench(simulated.dut, ctx, generator)
        # Wherever the search begins.
        for _ in range(3):
            await bench.send()
            await bench.cancel_all()
            await bench.drain()
            for number in list(bench.alive):
                await bench.report("CANCELED", number)
            first = bench.last
            while bench.model.room:
                await bench.send()
            for number in list(bench.alive):
                if number - first not in left:
                    await bench.report("CANCELED", number)
            await bench.cycle(open=1)
            began = bench.cycles
            await bench.stop(True)
            while sum(map(len, bench.segments)) < len(left):
                await bench.cycle()
            taken.append(bench.cycles - began)
            await bench.drain()
            for number in list(bench.alive):
                await bench.report("CANCELED", number)
            await bench.stop(False)

    simulated.run(play)
    assert max(taken) <= Canceller.cycles(SLOTS)
    if len(left) == SLOTS:
        assert max(taken) > 0.75 * Canceller.cycles(SLOTS)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="at least 12"):
        Canceller(slots=8, symbols=1, segment_size=11)
