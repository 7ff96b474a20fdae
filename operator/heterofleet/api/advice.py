"""What each condition and reason means to a person, and what to do about it; the page of conditions is made of this.

A condition's message says what is the matter with one fleet; this says what such a message is about.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from heterofleet.api.conditions import ConditionType, Reason
from heterofleet.api.labels import EventReason


class Advice(NamedTuple):
    """Under which conditions a reason stands, what it means, and what to do; nothing where all is well."""

    conditions: tuple[ConditionType, ...]
    meaning: str
    to_do: str = ""


MEANINGS: Final[dict[ConditionType, str]] = {
    ConditionType.ACCEPTED: "The spec can be carried out. While it is False nothing is changed: what runs goes on.",
    ConditionType.READY: "Both tiers and the router serve. Its message is the one sentence a person needs.",
    ConditionType.LARGE_TIER_READY: "As many large instances are ready as are wanted, warm ones aside.",
    ConditionType.SMALL_TIER_READY: "As many small instances are ready as are wanted, warm ones aside.",
    ConditionType.ROUTER_READY: "At least one router is ready.",
    ConditionType.ROUTER_CONFIGURED: "Every running router has applied the present configuration.",
    ConditionType.METRICS_AVAILABLE: "The load is known from Prometheus. While it is not, counts hold, and what"
    " waits in routers still raises them.",
    ConditionType.PAIR_MATCHED: "Tokenizer and chat template of both models are of one family. A warning only.",
    ConditionType.DEGRADED: "Something is broken, although the fleet may serve.",
    ConditionType.SCALING_LIMITED: "A bound keeps a tier from the count that was asked for.",
    ConditionType.BUDGET_EXCEEDED: "The fleet's GPUs have cost, or are about to cost, more than budget.usdPerDay.",
    ConditionType.UPDATE_AVAILABLE: "This operator, or its default images, would make other pods than those that run.",
    ConditionType.RECONCILING: "Something is under way: starting, rolling or draining.",
    ConditionType.STALLED: "Nothing goes on by itself: somebody must act.",
}

_ACCEPTED: Final = (ConditionType.ACCEPTED,)
_REFUSED: Final = (ConditionType.ACCEPTED, ConditionType.STALLED)
_TIERS: Final = (ConditionType.LARGE_TIER_READY, ConditionType.SMALL_TIER_READY)
_TIERS_AND_READY: Final = (ConditionType.READY, *_TIERS)
_BROKEN: Final = (ConditionType.DEGRADED, *_TIERS_AND_READY)

ADVICE: Final[dict[Reason, Advice]] = {
    Reason.VALID: Advice(_ACCEPTED, "The spec is valid, and both models fit their GPUs."),
    Reason.FIT_UNKNOWN: Advice(
        _ACCEPTED,
        "A model or GPU is not in the catalogue, so that nobody checked whether it fits.",
        "Nothing, if you know that it fits; else state model.facts or placement.gpuProduct.",
    ),
    Reason.FAST_FABRIC_NEEDED: Advice(
        _ACCEPTED,
        "A tensor-parallel group spans several pods: it works, but is slow without a fast fabric.",
        "Lower parallelism.tensor and raise pipeline, or set placement.topologyKey to the fabric's label.",
    ),
    Reason.INVALID_SPEC: Advice(
        _REFUSED,
        "The stored resource cannot be read, mostly because it was written under another version.",
        "Write what the message says; `heterofleet validate FILE` shows the line.",
    ),
    Reason.INVALID_LAYOUT: Advice(
        _REFUSED,
        "An instance of this shape cannot be packed into pods.",
        "Take one of the layouts that the message names.",
    ),
    Reason.DOES_NOT_FIT: Advice(
        _REFUSED,
        "The model is known not to fit: too little memory, or no kernel for this cut on this GPU.",
        "The message has the arithmetic: take its layout, a larger GPU or a smaller model; if the catalogue is wrong,"
        " state model.facts.",
    ),
    Reason.NAME_TAKEN: Advice(
        _REFUSED,
        "An object that the fleet needs exists and belongs to somebody else; nothing of it was written.",
        "Delete or rename the object that the message names, or make the fleet under another name.",
    ),
    Reason.CACHE_NOT_SHARED: Advice(
        _REFUSED,
        "Several pods would share a claim that one node alone can mount (ReadWriteOnce).",
        "Use a claim with ReadWriteMany (or ReadOnlyMany for pvc:// sources), or a hostPath or emptyDir cache.",
    ),
    Reason.CACHE_MISSING: Advice(
        _REFUSED,
        "A claim that the spec names does not exist.",
        "Create it, or name another; the fleet goes on by itself.",
    ),
    Reason.UNKNOWN_GPU_PRODUCT: Advice(
        _REFUSED,
        "The catalogue does not know this GPU product, but others that are spelt much like it.",
        "Correct placement.gpuProduct: `kubectl get nodes -L nvidia.com/gpu.product` lists what there is.",
    ),
    Reason.NODES_NOT_READABLE: Advice(
        _REFUSED,
        "The operator may not read nodes, and so cannot tell whether a group fits (placement.capacity: Fixed).",
        "Give it the rule in the message, or set placement.capacity: Elastic.",
    ),
    Reason.INVALID_TEMPLATE: Advice(
        _REFUSED,
        "podTemplate cannot be laid over the pods' template.",
        "Correct podTemplate as the message says.",
    ),
    Reason.ALL_READY: Advice((*_TIERS_AND_READY, ConditionType.ROUTER_READY), "What is wanted is ready and serves."),
    Reason.STARTING: Advice(
        _TIERS_AND_READY,
        "Instances start: pods come up, weights are downloaded and loaded.",
        "Wait. Past lifecycle.startupTimeoutSeconds the group restarts; `heterofleet status FLEET` shows its ranks.",
    ),
    Reason.WAITING_FOR_GPUS: Advice(
        _TIERS_AND_READY,
        "No free nodes hold a whole instance now (placement.capacity: Fixed).",
        "Free or add GPUs, or set placement.capacity: Elastic where a node autoscaler adds them.",
    ),
    Reason.SCALED_TO_ZERO: Advice(
        (*_TIERS, ConditionType.ROUTER_READY, ConditionType.ROUTER_CONFIGURED),
        "No instance is wanted.",
        "Raise the count to have some.",
    ),
    Reason.ROUTER_NOT_READY: Advice(
        (ConditionType.READY, ConditionType.ROUTER_READY),
        "No router is ready, so that no request gets in.",
        "`kubectl describe` the pods of the Deployment <fleet>-router.",
    ),
    Reason.NOT_ACCEPTED: Advice(
        (*_TIERS_AND_READY, ConditionType.ROUTER_READY, ConditionType.RECONCILING),
        "The spec is refused.",
        "Look at Accepted; its message helps.",
    ),
    Reason.GROUP_RESTARTING: Advice(
        _TIERS_AND_READY,
        "A rank of a group failed, and the group restarts as one.",
        "Wait; if it goes on, status.large.instances[].lastExit has the exit code and the last lines.",
    ),
    Reason.ROLLING: Advice(_TIERS_AND_READY, "The tier moves to a new revision.", "Wait."),
    Reason.SUSPENDED: Advice(
        (*_TIERS_AND_READY, ConditionType.RECONCILING),
        "spec.suspend is true: nothing is written but status.",
        "Set spec.suspend: false to go on.",
    ),
    Reason.CONFIGURED: Advice((ConditionType.ROUTER_CONFIGURED,), "Every router applied the present configuration."),
    Reason.CONFIG_PENDING: Advice(
        (ConditionType.ROUTER_CONFIGURED,),
        "Some router has not applied the present configuration yet, or cannot be asked.",
        "Wait; if it stays so, check that NetworkPolicies let the operator reach port 9090 of the routers.",
    ),
    Reason.CONFIG_REJECTED: Advice(
        (ConditionType.ROUTER_CONFIGURED,),
        "A router refused the configuration and goes on with the one before.",
        "The message is the router's own: correct spec.router, or bring routers and operator to one version.",
    ),
    Reason.METRICS_FRESH: Advice((ConditionType.METRICS_AVAILABLE,), "Every signal is there and fresh."),
    Reason.METRICS_NOT_CONFIGURED: Advice(
        (ConditionType.METRICS_AVAILABLE,),
        "The operator knows no Prometheus: counts move by the routers' queues alone.",
        "Set prometheus.url of the chart.",
    ),
    Reason.METRICS_LOST: Advice(
        (ConditionType.METRICS_AVAILABLE,),
        "Prometheus does not answer, or answers with errors or old figures: the plan holds.",
        "Look after the Prometheus that the message names; the plan goes on by itself.",
    ),
    Reason.METRICS_MISSING: Advice(
        (ConditionType.METRICS_AVAILABLE,),
        "Prometheus answers and lacks series of this fleet: the plan holds.",
        "See that Prometheus scrapes the fleet's routers and engines and has the recording rules (docs/install.md).",
    ),
    Reason.METRICS_ADDRESS_REFUSED: Advice(
        (ConditionType.METRICS_AVAILABLE,),
        "scaling.prometheusUrl is not in the operator's allow-list, and is not asked.",
        "Remove it, or have it added to prometheus.allowedUrls of the chart.",
    ),
    Reason.SAME_FAMILY: Advice((ConditionType.PAIR_MATCHED,), "Both models share a family."),
    Reason.FAMILIES_DIFFER: Advice(
        (ConditionType.PAIR_MATCHED,),
        "The models' tokenizers or chat templates differ, so that one may misread what the other wrote.",
        "Take models of one family if plans of the large one are fed to the small one; else leave it.",
    ),
    Reason.FAMILY_UNKNOWN: Advice(
        (ConditionType.PAIR_MATCHED,),
        "The family of a model is not known.",
        "State model.facts.family to have it checked.",
    ),
    Reason.HEALTHY: Advice((ConditionType.DEGRADED,), "Nothing is broken."),
    Reason.INSTANCE_FAILED: Advice(
        _BROKEN,
        "An instance failed more than lifecycle.maxGroupRestarts times; its GPUs are freed, the others go on.",
        "Read its lastExit in status; mend the cause; then change the spec, or run `heterofleet retry`"
        " (it sets the annotation heterofleet.io/retry to the present time).",
    ),
    Reason.NODE_LOST: Advice(
        _BROKEN,
        "A node is unreachable: its instance is replaced, its GPUs count until node or pod is gone.",
        "Bring the node back, delete it, or taint it node.kubernetes.io/out-of-service.",
    ),
    Reason.SECRET_MISSING: Advice(
        _BROKEN,
        "A pod waits for a Secret or ConfigMap that is not there.",
        "Create what the message names; the pod goes on by itself.",
    ),
    Reason.IMAGE_NOT_PULLED: Advice(
        _BROKEN,
        "An image cannot be pulled.",
        "Correct engine.image or router.image, or add imagePullSecrets.",
    ),
    Reason.PODS_REFUSED: Advice(
        _BROKEN,
        "Kubernetes refuses to make pods: a Pod Security Standard, a quota or a webhook stands against them.",
        "Meet the policy that the message names by podTemplate, or have the namespace's owner relax it.",
    ),
    Reason.MUTATED_BY_ADMISSION: Advice(
        (ConditionType.DEGRADED,),
        "A webhook changes what the operator applies; it is applied once, not over and over.",
        "Exempt the fleet's objects from that webhook, or set the same through podTemplate.",
    ),
    Reason.APPLY_FAILED: Advice(
        (ConditionType.DEGRADED,),
        "The API server refused an object; nothing was deleted meanwhile, and it is tried again.",
        "The message is the server's: rights, a quota, a policy, or a podTemplate that is no pod.",
    ),
    Reason.ROLL_STUCK: Advice(
        (ConditionType.STALLED, ConditionType.DEGRADED),
        "An instance of the new revision failed, so the roll stopped; the old ones serve on.",
        "Mend the spec or take it back, or run `heterofleet retry`.",
    ),
    Reason.WITHIN_BOUNDS: Advice((ConditionType.SCALING_LIMITED,), "No bound holds a count."),
    Reason.ABOVE_MAX: Advice(
        (ConditionType.SCALING_LIMITED,), "More instances were asked for than instances.max.", "Raise instances.max."
    ),
    Reason.BELOW_MIN: Advice(
        (ConditionType.SCALING_LIMITED,), "Fewer instances were asked for than instances.min.", "Lower instances.min."
    ),
    Reason.GPU_BUDGET: Advice(
        (ConditionType.SCALING_LIMITED,),
        "scaling.gpuBudget leaves no GPUs for the instances that were asked for.",
        "Raise scaling.gpuBudget to the number in the message, or lower the other tier.",
    ),
    Reason.RATIO_BOUND: Advice(
        (ConditionType.SCALING_LIMITED,), "scaling.ratio keeps a tier from its count.", "Widen scaling.ratio."
    ),
    Reason.SCHEDULE_BOUND: Advice(
        (ConditionType.SCALING_LIMITED,),
        "A schedule that holds now keeps a tier from its count.",
        "Widen the schedule that the message names, or wait until it ends.",
    ),
    Reason.NO_PLACE: Advice(
        (ConditionType.SCALING_LIMITED,),
        "There are no free nodes for the instances that the load asks for.",
        "Add nodes, or set placement.capacity: Elastic where a node autoscaler adds them.",
    ),
    Reason.OBJECTIVE_OUT_OF_REACH: Advice(
        (ConditionType.SCALING_LIMITED,),
        "No number of instances meets the tier's objective: one request alone takes longer.",
        "Loosen objective, or cut the model over more GPUs.",
    ),
    Reason.WITHIN_BUDGET: Advice((ConditionType.BUDGET_EXCEEDED,), "The last 24 hours cost less than the soft mark."),
    Reason.BUDGET_SOFT: Advice(
        (ConditionType.BUDGET_EXCEEDED,),
        "The last 24 hours have cost more than budget.softFraction of the budget: whenSoft holds.",
        "Nothing, if that is what the budget is for; else raise budget.usdPerDay.",
    ),
    Reason.MONEY_BUDGET: Advice(
        (ConditionType.BUDGET_EXCEEDED, ConditionType.SCALING_LIMITED),
        "budget.usdPerDay leaves no money for more GPUs; when it is spent, whenHard holds.",
        "Raise budget.usdPerDay, lower instances.min, or wait until the 24 hours have rolled.",
    ),
    Reason.UP_TO_DATE: Advice((ConditionType.UPDATE_AVAILABLE,), "Pods run what this operator would make."),
    Reason.TEMPLATE_DIFFERS: Advice(
        (ConditionType.UPDATE_AVAILABLE,),
        "This operator would make other pods; those that run are left alone until somebody asks.",
        "`heterofleet roll FLEET`, at a time that suits.",
    ),
    Reason.SETTLED: Advice((ConditionType.RECONCILING, ConditionType.STALLED), "Nothing is under way or stuck."),
    Reason.PROGRESSING: Advice((ConditionType.RECONCILING,), "The message says what is under way.", "Wait."),
    Reason.OPERATOR_ERROR: Advice(
        (ConditionType.STALLED,),
        "The operator met a defect of its own on this fleet; what runs is left as it is, other fleets go on.",
        "Read the operator's log and report it; an edit of the spec may get around it.",
    ),
    Reason.OUTAGE_NOT_ALLOWED: Advice(
        (ConditionType.STALLED,),
        "The roll would take a tier's last serving instance away, and no GPUs are spare for its successor.",
        "Set rollout.allowOutage: true, or raise scaling.gpuBudget and the GPUs there are.",
    ),
    Reason.EVACUATION_WAITS: Advice(
        (ConditionType.STALLED,),
        "An instance on a cordoned node waits for GPUs elsewhere.",
        "Free GPUs; after lifecycle.evacuateAfterSeconds it is drained anyway.",
    ),
}

EVENTS: Final[dict[EventReason, str]] = {
    EventReason.INSTANCE_CREATED: "A large instance was created.",
    EventReason.INSTANCE_DELETED: "A large instance was deleted.",
    EventReason.DRAIN_STARTED: "An instance left the endpoints and finishes its requests.",
    EventReason.DRAIN_CALLED_OFF: "An instance that drained is needed again and serves.",
    EventReason.DRAINED: "An instance is empty and goes, or its deadline came first: then raise drainTimeoutSeconds.",
    EventReason.GROUP_RESTARTED: "The operator restarted a group whole, since its ranks did not agree by themselves.",
    EventReason.FIELD_TAKEN_BACK: "Somebody changed a field that the fleet sets; it is as the fleet says again.",
    EventReason.COUNT_OVERRIDDEN: "Somebody set a tier's count; it holds for scaling.overrideSeconds.",
    EventReason.SCALED: "The plan changed a tier's count, for the reason in the message.",
    EventReason.SCALE_ADVISED: "The plan would change a tier's count: mode Advisory only says so.",
}


def reasons(type_: ConditionType) -> Iterator[tuple[Reason, Advice]]:
    """The reasons under which a condition stands, in the order of their enum."""
    return ((reason, ADVICE[reason]) for reason in Reason if type_ in ADVICE[reason].conditions)
