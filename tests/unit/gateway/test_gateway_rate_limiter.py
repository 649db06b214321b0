from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.access.rate import SECOND_US, Rate, charge
from gateway.access.rate_limiter import RateLimiter

RATE = Rate("merchant", 20, 5)


@dataclass
class Clock:
    us: int = 0

    def __call__(self) -> int:
        return self.us


@dataclass
class Central:
    """What Redis does, by the same reckoning."""

    clock: Clock
    buckets: dict[str, int] = field(default_factory=dict)

    def charge(self, sender: str, count: int) -> int:
        now_us = self.clock.us
        self.buckets[sender] = charge(RATE, self.buckets.get(sender, 0), count, now_us=now_us)
        return self.buckets[sender] - now_us


def tell(limiter: RateLimiter, central: Central) -> None:
    for sender, count in limiter.take_untold(10).items():
        limiter.hear(sender, central.charge(sender, count))


def test_each_sender_has_its_own_bucket() -> None:
    limiter = RateLimiter(RATE, Clock())

    assert [True] * 5 + [False] == [limiter.take("a").admitted for _ in range(6)]
    assert limiter.take("b").admitted


def test_what_is_refused_costs_nothing() -> None:
    clock = Clock()
    limiter = RateLimiter(RATE, clock)
    for _ in range(100):
        limiter.take("a")

    clock.us += RATE.step_us

    assert limiter.take("a").admitted


def test_looking_takes_nothing() -> None:
    limiter = RateLimiter(RATE, Clock())

    assert {5} == {limiter.look("a").remaining for _ in range(10)}


def test_two_workers_that_tell_each_other_admit_no_more_than_one_in_the_long_run() -> None:
    clock = Clock()
    central, workers = Central(clock), [RateLimiter(RATE, clock), RateLimiter(RATE, clock)]
    admitted, seconds = 0, 20
    for _ in range(seconds * 20):
        for worker in workers:
            admitted += sum(worker.take("a").admitted for _ in range(3))
            tell(worker, central)
        clock.us += SECOND_US // 20

    # A burst at the beginning, the rate, and what two workers let pass unknown to each other in one telling.
    assert seconds * RATE.per_s - RATE.burst <= admitted <= seconds * RATE.per_s + 2 * RATE.burst


def test_what_could_not_be_told_is_told_later_and_no_more_than_a_burst_of_it() -> None:
    limiter = RateLimiter(RATE, Clock())
    for _ in range(3):
        limiter.count("a")
    limiter.give_back(limiter.take_untold(10))
    limiter.count("a")

    assert {"a": 4} == limiter.take_untold(10)
    for _ in range(100):
        limiter.count("a")
    assert {"a": RATE.burst} == limiter.take_untold(10)


def test_beyond_the_bound_the_quietest_sender_is_forgotten() -> None:
    limiter = RateLimiter(RATE, Clock(), buckets_max=2)
    for sender in ("a", "b", "a", "c"):
        limiter.count(sender)

    assert [5, 3] == [limiter.look(sender).remaining for sender in ("b", "a")]
    assert {"a": 2, "c": 1} == limiter.take_untold(10)
    limiter.give_back({"b": 1})
    limiter.hear("b", SECOND_US)
    assert 5 == limiter.look("b").remaining


@given(st.integers(0, RATE.burst), st.integers(0, 10))
def test_what_comes_while_the_telling_is_under_way_counts_on_top(before: int, meanwhile: int) -> None:
    clock = Clock()
    limiter, central, whole = RateLimiter(RATE, clock), Central(clock), RateLimiter(RATE, clock)
    for _ in range(before):
        limiter.count("a")
    told = limiter.take_untold(10)
    for _ in range(meanwhile):
        limiter.count("a")
    for sender, count in told.items():
        limiter.hear(sender, central.charge(sender, count))
    for _ in range(before + meanwhile):
        whole.count("a")

    assert whole.look("a").backlog_us == limiter.look("a").backlog_us


class OneWorkerAndRedis(RuleBasedStateMachine):
    """Whatever fails in between, one worker that is told of by nobody else keeps the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.central, self.limiter = Central(self.clock), RateLimiter(RATE, self.clock)
        self.passed_us: list[int] = []

    @rule(pause_us=st.integers(0, SECOND_US))
    def pass_time(self, pause_us: int) -> None:
        self.clock.us += pause_us

    @rule(requests=st.integers(1, 8))
    def ask(self, requests: int) -> None:
        self.passed_us += [self.clock.us for _ in range(requests) if self.limiter.take("a").admitted]

    @rule()
    def tell(self) -> None:
        tell(self.limiter, self.central)

    @rule()
    def fail_to_tell(self) -> None:
        self.limiter.give_back(self.limiter.take_untold(10))

    @rule()
    def wipe(self) -> None:
        self.central.buckets.clear()

    @rule()
    def lose_the_answer(self) -> None:
        told = self.limiter.take_untold(10)
        for sender, count in told.items():
            self.central.charge(sender, count)
        self.limiter.give_back(told)

    @invariant()
    def senders_are_bounded(self) -> None:
        assert self.limiter.untold <= 1
        assert self.limiter.look("a").backlog_us <= 2 * RATE.depth_us


TestOneWorkerAndRedis = OneWorkerAndRedis.TestCase
