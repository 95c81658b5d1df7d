"""The order store against a dictionary, at the pace of messages."""

from functools import cache

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator
from simulated import Simulated

from tickgate.hdl.book.hashing import Hash, hashes
from tickgate.hdl.book.store import OrderStore
from tickgate.hdl.book.types import Geometry
from tickgate.hdl.memory import BlockMemory


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    monkeypatch.setattr(BlockMemory, "POISONED", True)


@cache
def build(orders: int) -> tuple[Geometry, Simulated]:
    geometry = Geometry(symbols=4, ticks=64, orders=orders)
    return geometry, Simulated(OrderStore(geometry=geometry))


class Driver:
    """Does to a store what messages do, and to a dictionary the same.

    `hints`: how often there may be a look-up, and there is none.
    """

    def __init__(self, *, orders, rng, idle, hints=0.0):
        self.geometry, self.simulated = build(orders)
        self.dut = self.simulated.dut
        self.rng, self.idle, self.hints = rng, idle, hints
        self.live = {}
        self.overflows = self.stashed = 0
        self._cycle = self._next_find = 0
        self._writes = {}

    def simulate(self, work):
        async def bench(ctx):
            self.ctx = ctx
            while not ctx.get(self.dut.ready):
                await ctx.tick()
            await work()

        self.simulated.run(bench)

    async def until(self, cycle):
        """Passes the time, and does the writes whose time has come."""
        while self._cycle < cycle:
            await self.ctx.tick()
            self._cycle += 1
            self.ctx.set(self.dut.find, 0)
            self.ctx.set(self.dut.find_new, 0)
            hint = self.rng.choice([1, 2]) if self.rng.random() < self.hints else 0
            self.ctx.set(self.dut.near, hint == 1)
            self.ctx.set(self.dut.near_new, hint == 2)
            self.ctx.set(self.dut.write, 0)
            # A reference on the wire that nobody asks for.
            self.ctx.set(self.dut.reference, self.rng.getrandbits(64))
            due = self._writes.pop(self._cycle, None)
            if due is not None:
                due()

    async def look_up(self, reference, then, *, new_reference=None):
        """Calls `then` in the last possible cycle, or in a later one; it may write."""
        await self.until(self._next_find)
        dut, ctx = self.dut, self.ctx
        ctx.set(dut.near, 1)
        ctx.set(dut.near_new, 0)
        ctx.set(dut.find, 1)
        ctx.set(dut.reference, reference)
        write = self._cycle + dut.LATENCY + self.rng.choice([0, 0, 0, 1, 5])
        if new_reference is not None:
            await self.until(self._cycle + self.rng.choice([1, 1, 2]))
            ctx.set(dut.near, 0)
            ctx.set(dut.near_new, 1)
            ctx.set(dut.find_new, 1)
            ctx.set(dut.new_reference, new_reference)
            write = max(write, self._cycle + dut.LATENCY - 1)
        assert write not in self._writes
        self._writes[write] = then
        last = write + (new_reference is not None)
        self._next_find = max(self._cycle + 2, last - 1)
        if self.rng.random() < 0.4:
            self._next_find += self.rng.randrange(self.idle + 1)

    def pause(self, cycles):
        """Delays the next look-up."""
        self._next_find += cycles

    def check(self, found, reference):
        order = self.live.get(reference)
        assert bool(found.hit) == (order is not None), hex(reference)
        if order is not None:
            assert (found.order.symbol, found.order.shares) == order, hex(reference)

    def put(self, found, way, order):
        """Writes `order`, or frees the place if there is none."""
        update = self.dut.update
        self.ctx.set(self.dut.write, 1)
        self.ctx.set(update.set, found.set)
        self.ctx.set(update.tag, found.tag)
        self.ctx.set(update.way, way)
        self.ctx.set(update.live, order is not None)
        if order is not None:
            self.ctx.set(update.order.symbol, order[0])
            self.ctx.set(update.order.shares, order[1])

    def insert(self, found, reference, order):
        if found.hit:
            return
        if found.full:
            self.overflows += 1
            # Both sets and the stash are full.
            assert len(self.live) >= self.geometry.SLOTS + self.geometry.STASH
            return
        self.stashed += found.free_way >= self.geometry.SLOTS
        self.put(found, found.free_way, order)
        self.live[reference] = order

    async def add(self, reference):
        order = self._an_order()

        def then():
            found = self.ctx.get(self.dut.found)
            self.check(found, reference)
            self.insert(found, reference, order)

        await self.look_up(reference, then)

    async def reduce(self, reference, *, wholly):
        order = None if wholly else self._an_order()

        def then():
            found = self.ctx.get(self.dut.found)
            self.check(found, reference)
            if found.hit:
                self.put(found, found.way, order)
                if wholly:
                    del self.live[reference]
                else:
                    self.live[reference] = order

        await self.look_up(reference, then)

    async def replace(self, reference, new_reference):
        order = self._an_order()

        def remove():
            found = self.ctx.get(self.dut.found)
            self.check(found, reference)
            if found.hit:
                self.put(found, found.way, None)
                self._writes[self._cycle + 1] = insert

        def insert():
            found_new = self.ctx.get(self.dut.found_new)
            self.check(found_new, new_reference)
            self.insert(found_new, new_reference, order)
            del self.live[reference]

        await self.look_up(reference, remove, new_reference=new_reference)

    async def settle(self):
        await self.until(max([self._next_find, *self._writes]) + 2)
        self._next_find = self._cycle

    def _an_order(self):
        return self.rng.randrange(4), self.rng.randrange(1, 1 << 32)


async def at_random(driver, messages, *, target, references):
    """Adds and removes around `target` live orders; the same order often twice in a row."""
    rng = driver.rng
    recent = []
    for _ in range(messages):
        known = recent[-4:] if rng.random() < 0.5 else list(driver.live)
        action = rng.random()
        if not known or action < (0.5 if len(driver.live) < target else 0.1):
            reference = next(references)
            recent.append(reference)
            await driver.add(reference)
            continue
        reference = rng.choice(known)
        if action < 0.6:
            await driver.reduce(reference, wholly=False)
        elif action < 0.8:
            await driver.reduce(reference, wholly=True)
        elif action < 0.95:
            new_reference = next(references)
            recent.append(new_reference)
            await driver.replace(reference, new_reference)
        else:
            await driver.add(reference)


def scattered(rng):
    while True:
        yield rng.getrandbits(64)


def rising(rng):
    reference = rng.getrandbits(30)
    while True:
        reference += 4 * (1 if rng.random() < 0.4 else 1 + int(rng.expovariate(1 / 40)))
        yield reference


def multiples(rng):
    reference = rng.getrandbits(20) << 20
    while True:
        reference += 1 << 20
        yield reference


@pytest.mark.parametrize("idle", [0, 8])
@pytest.mark.parametrize(("orders", "target"), [(32, 26), (32, 44), (128, 108)])
def test_no_order_is_lost_or_doubled(generator, orders, target, idle):
    driver = Driver(orders=orders, rng=generator, idle=idle)

    async def work():
        await at_random(driver, 100 + 3 * orders, target=target, references=scattered(generator))
        await driver.settle()
        for reference in list(driver.live):
            await driver.reduce(reference, wholly=True)
        await driver.settle()
        assert not driver.live

    driver.simulate(work)
    assert driver.stashed > 0
    if target > orders:
        assert driver.overflows > 0


def test_a_look_up_that_may_come_and_does_not_harms_no_order(generator):
    driver = Driver(orders=32, rng=generator, idle=8, hints=0.4)

    async def work():
        await at_random(driver, 150, target=30, references=scattered(generator))
        await driver.settle()
        for reference in list(driver.live):
            await driver.reduce(reference, wholly=True)
        await driver.settle()
        assert not driver.live

    driver.simulate(work)
    # More than it holds at once: it empties itself between the hints.
    assert driver.stashed > driver.geometry.STASH


def test_every_place_is_filled_before_the_store_is_full_for_good(generator):
    driver = Driver(orders=32, rng=generator, idle=20)
    places = 32 + driver.geometry.STASH

    async def work():
        for _ in range(2):
            references = scattered(generator)
            while len(driver.live) < places:
                await driver.add(next(references))
                await driver.settle()
            for reference in list(driver.live):
                await driver.reduce(reference, wholly=True)
            await driver.settle()

    driver.simulate(work)


def test_a_look_up_during_a_move_is_right(generator):
    driver = Driver(orders=32, rng=generator, idle=0)

    async def work():
        references = scattered(generator)
        while len(driver.live) < 36:
            await driver.add(next(references))
        for _ in range(200):
            # Shortly after the look-up before, in each of the moments of a move.
            driver.pause(generator.randrange(6))
            await driver.reduce(generator.choice(list(driver.live)), wholly=False)
        await driver.settle()

    driver.simulate(work)


@pytest.mark.parametrize("references", [rising, multiples])
def test_85_percent_of_the_capacity_is_free_of_overflow(generator, references):
    driver = Driver(orders=128, rng=generator, idle=8)
    numbers = references(generator)

    async def work():
        while len(driver.live) < 109:
            await driver.add(next(numbers))
        for _ in range(200):
            live = list(driver.live)
            young = live[-min(len(live), 1 + int(generator.expovariate(1 / 30)))]
            victim = young if generator.random() < 0.9 else generator.choice(live)
            await driver.reduce(victim, wholly=True)
            await driver.add(next(numbers))
            await driver.settle()
            assert driver.overflows == 0
        for reference in generator.sample(list(driver.live), 50):
            await driver.reduce(reference, wholly=True)

    driver.simulate(work)
    assert driver.stashed > 10


@pytest.mark.parametrize("set_bits", [2, 3, 7, 11, 12])
def test_a_run_of_references_fills_every_set_once(set_bits):
    for each in hashes(set_bits):
        for step in range(64 - set_bits):
            sets = {each.of(n << step) for n in range(1 << set_bits)}
            assert len(sets) == 1 << set_bits, step


@pytest.mark.parametrize("set_bits", [2, 7, 11, 12])
def test_references_of_one_set_go_apart_in_the_other_table(set_bits):
    first, second = hashes(set_bits)
    together = [n ^ n << set_bits for n in range(1 << set_bits)]
    assert {first.of(reference) for reference in together} == {0}
    assert len({second.of(reference) for reference in together}) > len(together) // 2


def test_the_gateware_hashes_as_the_study_does(generator):
    reference = Signal(64)
    first, second = hashes(11)
    outputs = [Signal(11), Signal(11)]
    m = Module()
    for output, each in zip(outputs, (first, second), strict=True):
        m.d.comb += output.eq(each.circuit(reference))

    async def bench(ctx):
        for _ in range(200):
            value = generator.getrandbits(generator.randrange(1, 65))
            ctx.set(reference, value)
            assert ctx.get(outputs[0]) == first.of(value)
            assert ctx.get(outputs[1]) == second.of(value)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("polynomial", [0, 1, 2, 10])
def test_a_polynomial_that_loses_digits_is_refused(polynomial):
    with pytest.raises(ValueError, match="polynomial must be odd"):
        Hash(polynomial)
