import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.labels import Tier
from heterofleet.api.routing import Degrade, RequestClass
from heterofleet.router import tiering
from heterofleet.router.tiering import Choice, Why
from router.engines import says
from router.site import sentence, site

PLAN, ACT = RequestClass.PLAN, RequestClass.ACT
LARGE, SMALL = Tier.LARGE, Tier.SMALL


def choose(request_class: RequestClass, pinned: Tier | None = None, **changes) -> Choice:
    still = {"tenant_is_short": False, "degrade": Degrade.NONE, "bias": 0.0, "draw": 0.5, "small_tier_fails": False}
    return tiering.choose(request_class, pinned, **{**still, **changes})


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (choose(PLAN), Choice(LARGE, Why.CLASS)),
        (choose(ACT), Choice(SMALL, Why.CLASS)),
        (choose(ACT, LARGE, tenant_is_short=True, degrade=Degrade.PREFER_SMALL), Choice(LARGE, Why.PINNED)),
        (choose(PLAN, tenant_is_short=True, degrade=Degrade.PREFER_SMALL), Choice(SMALL, Why.TENANT_BUDGET)),
        (choose(PLAN, degrade=Degrade.PREFER_SMALL, bias=1.0), Choice(SMALL, Why.FLEET_BUDGET)),
        (choose(ACT, degrade=Degrade.PREFER_SMALL, small_tier_fails=True), Choice(SMALL, Why.FLEET_BUDGET)),
        (choose(ACT, small_tier_fails=True), Choice(LARGE, Why.SMALL_TIER_FAILS)),
        (choose(PLAN, small_tier_fails=True), Choice(LARGE, Why.CLASS)),
        (choose(ACT, bias=0.6), Choice(LARGE, Why.BIAS)),
        (choose(ACT, bias=0.5), Choice(SMALL, Why.CLASS)),
        (choose(PLAN, bias=-0.6), Choice(SMALL, Why.BIAS)),
        (choose(PLAN, bias=0.6), Choice(LARGE, Why.CLASS)),
        (choose(ACT, bias=-0.6), Choice(SMALL, Why.CLASS)),
    ],
)
def test_a_tier_is_its_classs_own_unless_something_moves_it(chosen, expected):
    assert chosen == expected


@given(st.sampled_from(RequestClass), st.floats(-1, 1), st.floats(0, 1, exclude_max=True))
def test_a_bias_moves_its_share_of_one_class_and_none_of_the_other(request_class, bias, draw):
    moved = choose(request_class, bias=bias, draw=draw).why is Why.BIAS
    assert moved == (draw < (bias if request_class is ACT else -bias))


async def test_the_bias_moves_tiers_and_leaves_the_demand_of_each_class_as_it_is(tmp_path):
    async with site(tmp_path, [says("small")], [says("large")]) as made:
        seen = []
        for bias in (0.0, 1.0, -1.0):
            await made.tells(
                {**made.said, "plan": {"bias": bias}, "policy": {**made.said["policy"], "tenantMetrics": bias > 0}}
            )
            before = await made.counts("offered_total")
            tiers = [(await made.ask(model)).headers["x-heterofleet-tier"] for model in ("act", "plan")]
            after = await made.counts("offered_total")
            seen.append((tiers, {key: after[key] - before.get(key, 0.0) for key in after}))
        same = {("act",): 1.0, ("plan",): 1.0}
        assert seen == [(["small", "large"], same), (["large", "large"], same), (["small", "small"], same)]


async def test_a_fleet_that_is_short_of_money_prefers_its_small_tier_and_then_refuses(tmp_path):
    async with site(tmp_path, [says("small")], [says("large")]) as made:
        await made.tells({**made.said, "plan": {"degrade": "PreferSmall"}})
        assert (await made.ask("plan")).headers["x-heterofleet-tier"] == "small"
        assert (await made.ask("chat-large")).headers["x-heterofleet-tier"] == "large"
        await made.tells({**made.said, "plan": {"degrade": "Throttle"}})
        answer = await made.ask("act")
        assert (answer.status, answer.headers["retry-after"]) == (429, "60")
        assert sentence(answer).startswith("the fleet's budget of the day is used up")
        await made.tells(made.said)
        assert (await made.ask("plan")).headers["x-heterofleet-tier"] == "large"


async def test_a_tenant_is_short_before_it_is_refused(tmp_path):
    budgets = {"each": {"tokensPerDay": 40}, "softFraction": 0.5}
    store = {"file": {"persistentVolumeClaim": "books"}}
    async with site(tmp_path, [says("small")], [says("large")], tenants=budgets, store=store) as made:
        await made.running.ready()
        answers = [await made.ask("plan") for _ in range(5)]
        tiers = [answer.headers.get("x-heterofleet-tier") for answer in answers]
        assert tiers == ["large", "large", "small", "small", None]
        assert (answers[-1].status, "retry-after" in answers[-1].headers) == (429, True)


async def test_each_tenant_has_a_budget_of_its_own_by_its_key(tmp_path):
    (tmp_path / "keys").mkdir()
    for tenant in ("blue", "green"):
        (tmp_path / "keys" / tenant).write_text(hashlib.sha256(tenant.encode()).hexdigest())
    policy = {
        "auth": {"keysSecret": "keys"},
        "tenants": {"named": [{"name": "blue", "tokensPerDay": 10}], "softFraction": 1.0},
        "store": {"file": {"persistentVolumeClaim": "books"}},
    }
    async with site(tmp_path, [says("small")], [says("large")], **policy) as made:
        await made.running.ready()
        asked = ("blue", "blue", "green", "green")
        answers = [await made.ask("act", f"authorization: Bearer {tenant}") for tenant in asked]
        assert [answer.status for answer in answers] == [200, 429, 200, 200]
        assert json.loads(answers[1].body)["error"]["code"] == "budget_exceeded"
