"""What tenants may spend: the rolling day, requests in flight, several routers, and a store that is away."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heterofleet.api.tenancy import NamedTenant, TenantBudget, Tenants
from heterofleet.router import budget, spend
from heterofleet.router.budget import NOTHING, Budget, Budgets, Price, Refusal, Spent, Standing
from heterofleet.router.ledger import Judgement, Ledger
from heterofleet.router.stores import Batch, Totals, Unreachable
from heterofleet.router.stores.memory import MemoryStore
from unit import virtual

HOUR = 3600
NOW = 490_000.0 * HOUR + 600
PRICE = Price(prompt_usd=2.0, completion_usd=10.0)
TENANTS = Tenants(
    each=TenantBudget(usd_per_day=1.0, tokens_per_day=None),
    named=[
        NamedTenant(name="blue", tokens_per_day=1000),
        NamedTenant(name="none", usd_per_day=0),
        NamedTenant(name="rich", usd_per_day=100),
    ],
    soft_fraction=0.8,
)


def tokens(number: int) -> Spent:
    return Spent(0, number)


def test_money_is_counted_in_billionths():
    assert budget.cost(1000, 100, PRICE) == Spent(3_000_000, 1100)
    assert budget.cost_usd(1000, 100, PRICE) == pytest.approx(0.003)


def test_a_request_is_expected_to_use_all_of_its_max_tokens():
    assert budget.expected(396, 50, PRICE) == budget.cost(100, 50, PRICE)
    assert budget.expected(396, None, PRICE) == budget.cost(100, 512, PRICE)


def test_what_a_named_tenant_leaves_open_is_as_for_each():
    budgets = Budgets(TENANTS)
    assert budgets.of("anyone") == Budget(10**9, None, 0.8e9, 0.0)
    assert budgets.of("blue") == Budget(10**9, 1000, 0.8e9, 800.0)
    assert budgets.of("rich") == Budget(10**11, None, 0.8e11, 0.0)
    assert not Budgets(Tenants()).of("anyone").bounded


@pytest.mark.parametrize(
    ("tenant", "spent", "expected"),
    [
        ("anyone", Spent(799_999_999, 10**9), Standing.WITHIN),
        ("anyone", Spent(800_000_000, 0), Standing.SOFT),
        ("anyone", Spent(999_999_999, 0), Standing.SOFT),
        ("anyone", Spent(1_000_000_000, 0), Standing.HARD),
        ("blue", Spent(0, 799), Standing.WITHIN),
        ("blue", Spent(0, 800), Standing.SOFT),
        ("blue", Spent(800_000_000, 1000), Standing.HARD),
        ("none", NOTHING, Standing.HARD),
    ],
)
def test_soft_begins_at_its_fraction_and_hard_at_the_whole(tenant, spent, expected):
    assert Budgets(TENANTS).of(tenant).standing(spent) is expected


def test_a_refused_tenant_is_told_when_enough_of_its_day_is_over():
    limit = Budgets(TENANTS).of("blue")
    present = budget.bucket(NOW)
    window = {present - 30: tokens(5000), present - 20: tokens(100), present - 3: tokens(500), present: tokens(600)}
    assert budget.refusal(limit, window, NOTHING, NOW) == Refusal(
        "the budget of 24 hours is used up: 0.00 of 1.00 USD, 1200 of 1000 tokens", 22 * HOUR - 600
    )


def test_a_tenant_whose_requests_in_flight_fill_the_budget_comes_again_soon():
    refused = budget.refusal(Budgets(TENANTS).of("blue"), {budget.bucket(NOW): tokens(900)}, tokens(200), NOW)
    assert refused == Refusal(
        "the requests in flight are expected to use up the budget of 24 hours: wait for their answers", 5.0
    )


def test_a_tenant_that_may_spend_nothing_is_told_no_time():
    refused = budget.refusal(Budgets(TENANTS).of("none"), {}, NOTHING, NOW)
    assert refused == Refusal("the budget of 24 hours is used up: 0.00 of 0.00 USD", None)


@pytest.mark.parametrize(
    ("nano_usd", "budget_usd", "told"),
    [
        (6_000_000, 0.005, "0.006 of 0.005 USD"),
        (2_500_000_000, 2.5, "2.50 of 2.50 USD"),
        (12_345_678, 0.000_000_001, "0.01 of 0.000000001 USD"),
    ],
)
def test_what_is_below_a_cent_is_told_in_full(nano_usd: int, budget_usd: float, told: str):
    tight = Budgets(Tenants(each=TenantBudget(usd_per_day=budget_usd))).of("blue")
    refused = budget.refusal(tight, {budget.bucket(NOW): Spent(nano_usd)}, NOTHING, NOW)
    assert refused.message == f"the budget of 24 hours is used up: {told}"


@given(st.dictionaries(st.integers(-budget.BUCKETS - 3, 0), st.integers(0, 2000), max_size=30), st.floats(0, HOUR - 1))
def test_the_time_told_is_the_first_at_which_the_tenant_is_below_its_budget(spends, into):
    now = 490_000.0 * HOUR + into
    limit = Budgets(TENANTS).of("blue")
    window = {budget.bucket(now) + ago: tokens(spent) for ago, spent in spends.items()}

    def standing(at: float) -> Standing:
        return limit.standing(sum((spent for number, spent in window.items() if number >= budget.oldest(at)), NOTHING))

    refused = budget.refusal(limit, window, NOTHING, now)
    if standing(now) is Standing.HARD:
        assert refused.retry_after_seconds is not None
        assert standing(now + refused.retry_after_seconds + 1e-3) is not Standing.HARD
        assert standing(now + refused.retry_after_seconds - 1) is Standing.HARD


@given(st.floats(0, 1e6))
def test_a_spend_counts_for_24_hours_at_least_and_25_at_most(at):
    spent = budget.bucket(at)
    assert spent >= budget.oldest(at + 24 * HOUR - 1)
    assert spent < budget.oldest(at + 25 * HOUR + 1)


def ledger(name: str = "a", tenants: Tenants = TENANTS, *, at: float = NOW, routers: int = 1) -> Ledger:
    """One that has read the store at `at`: nothing is spent."""
    fresh = Ledger(name, Budgets(tenants))
    fresh.learn(Totals("0", True, routers, {}), at)
    return fresh


def answer(of: Ledger, tenant: str, spent: Spent, now: float = NOW) -> None:
    of.settle(of.reserve(tenant, spent, now), spent, now)


def test_a_router_that_has_not_read_the_store_grants_no_budget():
    unread = Ledger("a", Budgets(TENANTS))
    assert unread.judge("blue", NOW) == Judgement(Standing.HARD, Refusal("what was spent is not known yet: retry", 5.0))
    assert Ledger("a", Budgets(Tenants())).judge("blue", NOW) == Judgement(Standing.WITHIN)


def test_requests_in_flight_count_as_what_they_are_expected_to_cost():
    books = ledger()
    first = books.reserve("blue", tokens(700), NOW)
    assert books.judge("blue", NOW).standing is Standing.WITHIN
    second = books.reserve("blue", tokens(700), NOW)
    assert books.judge("blue", NOW).standing is Standing.HARD
    books.settle(first, tokens(10), NOW)
    assert books.judge("blue", NOW).standing is Standing.WITHIN
    books.settle(second, NOTHING, NOW)
    assert books.spent("blue", NOW) == tokens(10)


def test_what_was_spent_falls_out_of_the_day():
    books = ledger()
    answer(books, "blue", tokens(1000))
    assert books.judge("blue", NOW).standing is Standing.HARD
    later = NOW + 25 * HOUR
    books.learn(Totals("0", False, 1, {}), later)
    assert books.judge("blue", later).standing is Standing.WITHIN


def test_the_same_batch_goes_out_until_it_is_acknowledged():
    books = ledger()
    answer(books, "blue", tokens(5))
    first = books.batch(NOW)
    answer(books, "blue", tokens(7))
    assert books.batch(NOW + 1) == first
    assert first is not None
    books.acknowledge(first)
    second = books.batch(NOW + 2)
    assert second is not None
    assert [spent for _, _, spent in second.spends] == [tokens(7)]
    books.acknowledge(second)
    assert books.batch(NOW + 3) is None
    assert books.spent("blue", NOW) == tokens(12)


def test_much_spend_of_one_tenant_is_urgent():
    books = ledger()
    answer(books, "blue", tokens(9))
    assert not books.urgent
    answer(books, "blue", tokens(1))
    assert books.urgent
    books.batch(NOW)
    assert not books.urgent


@pytest.mark.parametrize(
    ("shared", "own", "age", "expected"),
    [
        (600, 100, 3, Standing.WITHIN),
        (600, 200, 3, Standing.SOFT),
        (600, 99, 4, Standing.WITHIN),
        (600, 100, 4, Standing.HARD),
        (0, 249, 4, Standing.WITHIN),
        (0, 250, 4, Standing.HARD),
        (800, 0, 30, Standing.SOFT),
        (800, 0, 31, Standing.HARD),
        (799, 0, 3000, Standing.WITHIN),
    ],
)
def test_without_the_store_each_of_four_routers_may_spend_a_quarter_of_what_was_left(shared, own, age, expected):
    books = ledger(routers=4)
    books.learn(Totals("1", False, 4, {"blue": {budget.bucket(NOW): tokens(shared)}}), NOW)
    if own:
        answer(books, "blue", tokens(own))
    judgement = books.judge("blue", NOW + age)
    assert judgement.standing is expected
    assert (judgement.refusal is not None) == (expected is Standing.HARD)


def test_what_the_store_has_acknowledged_is_no_longer_of_the_share():
    books = ledger(routers=4)
    answer(books, "blue", tokens(250))
    batch = books.batch(NOW)
    assert batch is not None
    assert books.judge("blue", NOW + 4).standing is Standing.HARD
    books.acknowledge(batch)
    assert books.judge("blue", NOW + 4).standing is Standing.WITHIN


def test_a_tenant_that_is_refused_for_want_of_the_store_is_told_so():
    books = ledger(routers=2)
    answer(books, "blue", tokens(600))
    assert books.judge("blue", NOW + 7).refusal == Refusal(
        "the store of spend has been away for 7 s, and the budget of 24 hours is nearly used up", 5.0
    )


def test_accounts_of_tenants_that_spent_nothing_are_forgotten():
    books = ledger()
    for number in range(100):
        books.judge(f"tenant-{number}", NOW)
    kept = books.reserve("blue", tokens(5), NOW)
    books.learn(Totals("0", False, 1, {}), NOW)
    assert set(books._accounts) == {"blue"}
    books.settle(kept, tokens(5), NOW)
    assert books.spent("blue", NOW) == tokens(5)


REQUESTS = st.lists(
    st.tuples(st.sampled_from(["come", "go", "turn"]), st.integers(0, 2), st.integers(0, 400), st.floats(0, 1)),
    max_size=60,
)


@given(REQUESTS)
def test_one_router_overruns_a_budget_by_less_than_one_request(steps):
    """While no request costs more than was expected of it: settled < budget + the last admitted one."""
    books = ledger()
    in_flight = []
    largest = 0
    for step, _, expected, share in steps:
        if step == "come" and books.judge("blue", NOW).standing is not Standing.HARD:
            in_flight.append((books.reserve("blue", tokens(expected), NOW), int(expected * share)))
            largest = max(largest, expected)
        elif step == "go" and in_flight:
            reservation, cost = in_flight.pop()
            books.settle(reservation, tokens(cost), NOW)
    for reservation, cost in in_flight:
        books.settle(reservation, tokens(cost), NOW)
    assert books.spent("blue", NOW).tokens < 1000 + max(1, largest)


class Flaky(MemoryStore):
    """A store that does what it is asked, and now and then loses its answer, or does not hear."""

    mood = "well"

    async def add_spend(self, batch: Batch) -> None:
        if self.mood == "deaf":
            raise Unreachable("deaf")
        await super().add_spend(batch)
        if self.mood == "mute":
            raise Unreachable("mute")

    async def read_spend(self, cursor: str, *, router: str, now: float) -> Totals:
        if self.mood != "well":
            raise Unreachable(self.mood)
        return await super().read_spend(cursor, router=router, now=now)


@settings(max_examples=100, deadline=None)
@given(REQUESTS, st.lists(st.sampled_from(["well", "deaf", "mute"]), min_size=1, max_size=10))
def test_every_router_knows_all_spend_whatever_answers_were_lost(steps, moods):
    """Nothing is lost and nothing counts twice: the views agree, and are what was settled."""

    async def go() -> None:
        store = Flaky()
        routers = [ledger(name) for name in "abc"]
        settled = 0
        for number, (step, who, cost, _) in enumerate(steps):
            store.mood = moods[number % len(moods)]
            if step == "turn":
                await attempt(routers[who], store)
            else:
                answer(routers[who], "blue", tokens(cost))
                settled += cost
                known = routers[who].spent("blue", NOW).tokens
                assert cost <= known <= 2 * settled, "own spend is always in the view"
        store.mood = "well"
        # A batch that was not acknowledged, then what was spent since, then a turn to read what the last one added.
        for router in 3 * routers:
            await spend.turn(router, store, lambda: NOW)
        assert [router.spent("blue", NOW) for router in routers] == [tokens(settled)] * 3

    virtual.run(go())


async def attempt(router: Ledger, store: Flaky) -> None:
    try:
        await spend.turn(router, store, lambda: NOW)
    except Unreachable:
        return


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 100)), max_size=80), st.integers(0, 1200))
def test_routers_that_lost_the_store_stay_within_the_budget_together(requests, spent_before):
    """But for the last request of each."""

    async def go() -> None:
        store = MemoryStore()
        routers = [Ledger(name, Budgets(TENANTS)) for name in "abc"]
        for router in 2 * routers:
            await spend.turn(router, store, lambda: NOW)
        answer(routers[0], "blue", tokens(spent_before))
        for router in 2 * routers:
            await spend.turn(router, store, lambda: NOW)
        total = spent_before
        for who, cost in requests:
            if routers[who].judge("blue", NOW + 5).standing is not Standing.HARD:
                answer(routers[who], "blue", tokens(cost), NOW + 5)
                total += cost
        assert total < max(1000, spent_before + 1) + 3 * 100

    virtual.run(go())


def test_a_ledger_is_kept_in_step_through_an_outage_that_is_told_once(caplog):
    async def go() -> None:
        caplog.set_level("INFO")
        store, books, clock = Flaky(), Ledger("a", Budgets(TENANTS)), asyncio.get_running_loop().time
        task = asyncio.create_task(spend.keep_in_step(books, store, clock))
        await asyncio.sleep(0.01)
        assert books.judge("blue", clock()).standing is Standing.WITHIN
        store.mood = "deaf"
        answer(books, "blue", tokens(850), clock())
        await asyncio.sleep(30.5)
        assert books.judge("blue", clock()).standing is Standing.HARD
        store.mood = "well"
        await asyncio.sleep(1.5)
        assert books.judge("blue", clock()).standing is Standing.SOFT
        assert (await store.read_spend("", router="b", now=clock())).spent == {
            "blue": {budget.bucket(clock()): tokens(850)}
        }
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual.run(go())
    assert caplog.messages == [
        "spend is not shared until the store answers again: deaf",
        "the store answers again: spend is shared",
    ]


def test_urgent_spend_does_not_wait_for_the_second():
    async def go() -> None:
        store, books, clock = MemoryStore(), Ledger("a", Budgets(TENANTS)), asyncio.get_running_loop().time
        task = asyncio.create_task(spend.keep_in_step(books, store, clock))
        await asyncio.sleep(0.01)
        for spent, known in ((9, {}), (10, {"blue": {budget.bucket(clock()): tokens(19)}})):
            answer(books, "blue", tokens(spent), clock())
            await asyncio.sleep(0.11)
            assert (await store.read_spend("", router="b", now=clock())).spent == known
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual.run(go())
