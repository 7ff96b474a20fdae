"""What enters the cache, what leaves it, and who is told."""

from dataclasses import dataclass, field

import pytest

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey
from heterofleet.cluster import kinds
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.cluster.objects import Ref
from unit.cluster.builders import KEY, child, config_map, fleet, node, pod, stored


@dataclass
class Told:
    fleets: list[FleetKey] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    freed: list[None] = field(default_factory=list)
    synced: list[None] = field(default_factory=list)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def cache(told: Told) -> Cache:
    return Cache(
        Listeners(
            told.fleets.append,
            told.nodes.append,
            lambda: told.freed.append(None),
            lambda: told.synced.append(None),
        )
    )


def test_a_newer_version_replaces_and_is_told(cache: Cache, told: Told) -> None:
    assert cache.put(stored(config_map("a", key="1"), version=5))
    assert cache.put(stored(config_map("a", key="2"), version=10))
    assert [held.body["data"] for held in cache.children(KEY).values()] == [{"key": "2"}]
    assert told.fleets == [KEY, KEY]


@pytest.mark.parametrize("version", [9, 10])
def test_an_older_or_equal_version_is_no_news(cache: Cache, told: Told, version: int) -> None:
    cache.put(stored(config_map("a", key="2"), version=10))
    assert not cache.put(stored(config_map("a", key="1"), version=version))
    assert [held.body["data"] for held in cache.children(KEY).values()] == [{"key": "2"}]
    assert told.fleets == [KEY]


def test_what_was_deleted_does_not_come_back_by_a_late_answer(cache: Cache) -> None:
    manifest = config_map("a")
    cache.put(stored(manifest, version=1))
    assert cache.remove(Ref.of(manifest), "uid-1", resource_version=5)
    assert not cache.put(stored(manifest, version=4))
    assert cache.put(stored(manifest, uid="uid-2", version=6))


def test_a_late_deletion_does_not_remove_a_successor(cache: Cache) -> None:
    manifest = config_map("a")
    cache.put(stored(manifest, uid="uid-2", version=9))
    assert not cache.remove(Ref.of(manifest), "uid-1", resource_version=5)
    assert cache.uid_of(Ref.of(manifest)) == "uid-2"


def test_a_fleet_is_given_as_stored_until_it_goes(cache: Cache, told: Told) -> None:
    manifest = stored(fleet(), owner=None)
    cache.put(manifest)
    assert cache.fleet(KEY) == manifest
    assert (cache.fleets(), cache.fleet_version(KEY)) == ((KEY,), 1)
    cache.remove(Ref.of(manifest), "uid-1", 2)
    assert (cache.fleet(KEY), cache.fleets(), cache.fleet_version(KEY)) == (None, (), 0)
    assert told.fleets == [KEY, KEY]


def test_children_pods_and_tiers_are_told_apart(cache: Cache) -> None:
    tier = child(labels.TIER_KIND, "chat-large", api_version=labels.API_VERSION)
    for manifest in (config_map("a"), tier, pod("p")):
        cache.put(stored(manifest))
    assert {ref.name for ref in cache.children(KEY)} == {"a", "chat-large"}
    assert [held.ref.name for held in cache.tiers(KEY)] == ["chat-large"]
    assert [record.name for record in cache.pods(KEY)] == ["p"]
    assert cache.sizes() == {"fleets": 0, "children": 2, "pods": 1, "nodes": 0}


def test_a_history_of_a_statefulset_is_not_a_child(cache: Cache) -> None:
    history = child("ControllerRevision", "chat-large-0-5c", api_version="apps/v1")
    owner = {"kind": "StatefulSet", "name": "chat-large-0", "uid": "s", "controller": True}
    assert not cache.put(stored(history, ownerReferences=[owner]))
    assert cache.put(stored(history))


def test_an_object_whose_label_changed_moves_and_both_fleets_are_told(cache: Cache, told: Told) -> None:
    cache.put(stored(config_map("a"), version=1))
    cache.put(stored(child("ConfigMap", "a", fleet="other"), version=2))
    other = FleetKey("ns", "other")
    assert (len(cache.children(KEY)), len(cache.children(other))) == (0, 1)
    assert told.fleets == [KEY, KEY, other]


def test_children_given_out_do_not_change(cache: Cache) -> None:
    cache.put(stored(config_map("a")))
    before = cache.children(KEY)
    cache.put(stored(config_map("b")))
    assert len(before) == 1


def test_a_heartbeat_of_a_node_is_not_told(cache: Cache, told: Told) -> None:
    cache.put(stored(node("n"), version=1))
    cache.put(stored(node("n"), version=2))
    assert told.nodes == ["n"]
    cache.put(stored(node("n", ready=False), version=3))
    assert told.nodes == ["n", "n"]


def test_a_pod_that_only_got_a_new_version_is_not_told(cache: Cache, told: Told) -> None:
    cache.put(stored(pod("p"), version=1))
    cache.put(stored(pod("p"), version=2))
    assert told.fleets == [KEY]


def test_devices_are_free_when_their_pod_is_gone_or_done(cache: Cache, told: Told) -> None:
    for name in ("gone", "done"):
        cache.put(stored(pod(name, node="n", phase="Running"), uid=name, version=1))
    cache.put(stored(pod("unplaced"), uid="unplaced"))
    cache.remove(Ref("v1", "Pod", "ns", "unplaced"), "unplaced", 2)
    assert told.freed == []
    cache.remove(Ref("v1", "Pod", "ns", "gone"), "gone", 2)
    cache.put(stored(pod("done", node="n", phase="Failed"), uid="done", version=2))
    assert told.freed == [None, None]


def test_fleets_on_a_node(cache: Cache) -> None:
    cache.put(stored(pod("p", node="n")))
    assert cache.fleets_on("n") == {KEY}
    assert cache.fleets_on("m") == frozenset()


def test_what_a_complete_list_lacks_leaves_unless_it_is_newer(cache: Cache, told: Told) -> None:
    for name, version in (("seen", 1), ("vanished", 2), ("newer", 11)):
        cache.put(stored(config_map(name), uid=name, version=version))
    cache.put(stored(child("Service", "other-kind"), version=3))
    told.fleets.clear()
    config_maps = kinds.BY_NAME["v1", "ConfigMap"]
    cache.retain(config_maps, "", {Ref.of(config_map("seen"))}, resource_version=10)
    assert {ref.name for ref in cache.children(KEY)} == {"seen", "newer", "other-kind"}
    assert told.fleets == [KEY]


def test_a_list_of_one_namespace_says_nothing_about_others(cache: Cache) -> None:
    cache.put(stored(config_map("a"), version=1))
    cache.retain(kinds.BY_NAME["v1", "ConfigMap"], "elsewhere", (), resource_version=10)
    assert len(cache.children(KEY)) == 1


def test_vanished_nodes_leave(cache: Cache, told: Told) -> None:
    cache.put(stored(node("n")))
    cache.retain(kinds.NODE, "", (), resource_version=10)
    assert (dict(cache.nodes()), told.nodes) == ({}, ["n", "n"])


def test_synced_is_said_once_all_sources_were_listed(cache: Cache, told: Told) -> None:
    cache.expect("a")
    cache.expect("b")
    cache.mark_synced("a")
    assert (cache.synced, told.synced) == (False, [])
    cache.mark_synced("b")
    cache.mark_synced("b")
    assert (cache.synced, told.synced) == (True, [None])


def test_missing_rights_on_nodes_do_not_keep_the_operator_from_working(cache: Cache) -> None:
    cache.expect("nodes")
    cache.mark_unreadable("nodes", kinds.NODE)
    assert (cache.synced, cache.unreadable()) == (True, frozenset({"Node"}))
    cache.mark_synced("nodes")
    assert cache.unreadable() == frozenset()


def test_missing_rights_on_pods_do(cache: Cache) -> None:
    cache.expect("pods")
    cache.mark_unreadable("pods", kinds.POD)
    assert not cache.synced


def test_a_kind_that_comes_later_makes_every_fleet_look_again(cache: Cache, told: Told) -> None:
    cache.put(stored(fleet(), owner=None))
    told.fleets.clear()
    monitors = ("monitoring.coreos.com/v1", "PodMonitor")
    cache.set_served(frozenset({monitors}))
    cache.set_served(frozenset({monitors}))
    assert told.fleets == [KEY]
    assert cache.served(*monitors)
    assert not cache.served("monitoring.coreos.com/v1", "PrometheusRule")
