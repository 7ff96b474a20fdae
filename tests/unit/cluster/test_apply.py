"""How a fleet's changes are executed, and what stops what."""

import pytest

from heterofleet.cluster import apply, errors, objects
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.cluster.objects import Changes, Mutation, Observed, Ref
from unit.cluster.builders import KEY, OWNER_UID, config_map, stored
from unit.memory import MemoryCluster


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


@pytest.fixture
def cache() -> Cache:
    return Cache(Listeners(lambda _: None, lambda _: None, lambda: None, lambda: None))


def owned(name: str, **data: str) -> dict[str, object]:
    manifest = config_map(name, **data)
    owner = {"kind": "HeterogeneousDeployment", "name": "chat", "uid": OWNER_UID, "controller": True}
    manifest["metadata"]["ownerReferences"] = [owner]
    return manifest


async def test_answers_enter_the_cache_at_once(cluster: MemoryCluster, cache: Cache) -> None:
    wanted = owned("a", key="1")
    todo = objects.changes([wanted], cache.children(KEY), owner_uid=OWNER_UID)
    outcome = await apply.execute(todo, cluster, cache, owner_uid=OWNER_UID)
    assert outcome == apply.Outcome((Ref.of(wanted),), (), (), (), {})
    assert objects.changes([wanted], cache.children(KEY), owner_uid=OWNER_UID) == Changes()


async def test_a_name_that_the_cache_does_not_know_is_looked_up_first(cluster: MemoryCluster, cache: Cache) -> None:
    wanted = owned("a", key="1")
    theirs = config_map("a", key="theirs")
    await cluster.create(theirs)
    outcome = await apply.execute(Changes(apply=(wanted,)), cluster, cache, owner_uid=OWNER_UID)
    assert outcome.taken == (Ref.of(wanted),)
    assert cluster.objects[Ref.of(wanted)]["data"] == {"key": "theirs"}


async def test_nothing_is_written_where_one_name_is_taken(cluster: MemoryCluster, cache: Cache) -> None:
    await cluster.create(config_map("b", key="theirs"))
    old = await cluster.create(owned("old"))
    cluster.calls.clear()
    todo = Changes(apply=(owned("a"), owned("b"), owned("c")), prune=(Observed.of(old),))
    outcome = await apply.execute(todo, cluster, cache, owner_uid=OWNER_UID)
    assert outcome == apply.Outcome((), (), (), (Ref.of(owned("b")),), {})
    assert cluster.written() == []


async def test_where_a_name_cannot_be_looked_up_what_exists_is_applied_and_nothing_new_is_made(
    cluster: MemoryCluster, cache: Cache
) -> None:
    cache.put(await cluster.create(owned("known", key="1")))
    await cluster.create(owned("found", key="1"))
    todo = Changes(apply=(owned("hidden"), owned("known", key="2"), owned("found", key="2"), owned("new")))
    cluster.refuse = lambda verb, ref: (
        errors.Forbidden("no", status=403) if (verb, ref.name) == ("get", "hidden") else None
    )
    outcome = await apply.execute(todo, cluster, cache, owner_uid=OWNER_UID)
    assert [ref.name for ref in outcome.applied] == ["known", "found"]
    assert [failure.ref.name for failure in outcome.failed] == ["hidden"]
    assert sorted(ref.name for ref in cluster.objects) == ["found", "known"]


async def test_a_successor_under_the_name_is_not_touched(cluster: MemoryCluster, cache: Cache) -> None:
    wanted = owned("a", key="1")
    cache.put(stored(wanted, uid="the-one-we-knew"))
    await cluster.create(config_map("a", key="theirs"))
    outcome = await apply.execute(Changes(apply=(wanted,)), cluster, cache, owner_uid=OWNER_UID)
    assert [failure.ref for failure in outcome.failed] == [Ref.of(wanted)]
    assert cluster.objects[Ref.of(wanted)]["data"] == {"key": "theirs"}


async def test_a_name_taken_since_it_was_looked_up_is_not_taken_over_and_ends_the_writing(
    cluster: MemoryCluster, cache: Cache
) -> None:
    old = await cluster.create(owned("old"))
    todo = Changes(apply=(owned("a"), owned("b"), owned("c")), prune=(Observed.of(old),))
    found = await apply.survey(todo, cluster, cache, owner_uid=OWNER_UID)
    theirs = await cluster.create(config_map("b", key="theirs"))
    outcome = await apply.execute(todo, cluster, cache, owner_uid=OWNER_UID, known=found)
    assert outcome == apply.Outcome((Ref.of(owned("a")),), (), (), (Ref.of(theirs),), {})
    assert cluster.objects[Ref.of(theirs)] == theirs
    assert sorted(ref.name for ref in cluster.objects) == ["a", "b", "old"]


async def test_an_object_of_ours_that_came_since_the_look_is_applied(cluster: MemoryCluster, cache: Cache) -> None:
    todo = Changes(apply=(owned("a", key="2"),))
    found = await apply.survey(todo, cluster, cache, owner_uid=OWNER_UID)
    made = await cluster.create(owned("a", key="1"))
    outcome = await apply.execute(todo, cluster, cache, owner_uid=OWNER_UID, known=found)
    assert outcome == apply.Outcome((Ref.of(made),), (), (), (), {})
    assert cluster.objects[Ref.of(made)]["data"] == {"key": "2"}


async def test_a_name_that_was_taken_and_is_free_again_is_left_to_the_next_reconcile(
    cluster: MemoryCluster, cache: Cache
) -> None:
    conflict = errors.Conflict("it has changed", status=409)
    cluster.refuse = lambda verb, _ref: conflict if verb == "apply" else None
    outcome = await apply.execute(Changes(apply=(owned("a"),)), cluster, cache, owner_uid=OWNER_UID)
    assert outcome == apply.Outcome((), (), (apply.Failure(Ref.of(owned("a")), conflict),), (), {})


async def test_prune_waits_for_a_failed_apply(cluster: MemoryCluster, cache: Cache) -> None:
    refused, fine, old = owned("refused"), owned("fine"), owned("old")
    kept = await cluster.create(old)
    cluster.refuse = lambda verb, ref: (
        errors.Invalid("no", status=422) if (verb, ref.name) == ("apply", "refused") else None
    )
    todo = Changes(apply=(refused, fine), prune=(Observed.of(kept),))
    outcome = await apply.execute(todo, cluster, cache, owner_uid=OWNER_UID)
    assert (outcome.applied, outcome.pruned) == ((Ref.of(fine),), ())
    assert [failure.ref.name for failure in outcome.failed] == ["refused"]
    assert Ref.of(old) in cluster.objects


async def test_prune_waits_for_a_taken_name(cluster: MemoryCluster, cache: Cache) -> None:
    await cluster.create(config_map("a"))
    old = await cluster.create(owned("old"))
    todo = Changes(apply=(owned("a"),), prune=(Observed.of(old),))
    outcome = await apply.execute(todo, cluster, cache, owner_uid=OWNER_UID)
    assert outcome.pruned == ()


async def test_prune_deletes_only_what_it_saw(cluster: MemoryCluster, cache: Cache) -> None:
    old = await cluster.create(owned("old"))
    successor = {**old, "metadata": {**old["metadata"], "uid": "seen"}}
    outcome = await apply.execute(Changes(prune=(Observed.of(successor),)), cluster, cache, owner_uid=OWNER_UID)
    assert (outcome.pruned, len(outcome.failed)) == ((), 1)
    outcome = await apply.execute(Changes(prune=(Observed.of(old),)), cluster, cache, owner_uid=OWNER_UID)
    assert (outcome.pruned, cluster.objects) == ((Ref.of(old),), {})


async def test_what_admission_changes_comes_out_as_a_mutation(cluster: MemoryCluster, cache: Cache) -> None:
    wanted = owned("a", key="1")
    cluster.admit = lambda manifest: manifest["data"].update(key="mutated")
    outcome = await apply.execute(Changes(apply=(wanted,)), cluster, cache, owner_uid=OWNER_UID)
    assert outcome.mutated == {Ref.of(wanted): Mutation(objects.digest(wanted), frozenset({"data.key"}))}
    again = objects.changes([wanted], cache.children(KEY), owner_uid=OWNER_UID, remembered=outcome.mutated)
    assert not again


@pytest.mark.parametrize("error", [errors.NotLeader("not ours"), errors.Unavailable("gone away")])
async def test_a_lost_lease_or_server_ends_it_at_once(
    cluster: MemoryCluster, cache: Cache, error: errors.ClusterError
) -> None:
    cluster.refuse = lambda verb, _ref: error if verb == "apply" else None
    with pytest.raises(type(error)):
        await apply.execute(Changes(apply=(owned("a"), owned("b"))), cluster, cache, owner_uid=OWNER_UID)
    assert len(cluster.written()) == 1
