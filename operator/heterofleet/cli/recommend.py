"""`heterofleet recommend`: a load in, the fleet that it should have out.

The edge of `heterofleet.recommend`: asks, reads, shows progress, prints, writes. Its packages are loaded when it runs.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterofleet.api.scaling import Objective
from heterofleet.api.v1alpha1 import HeterogeneousDeployment, is_fleet_name
from heterofleet.cli import output, recommendload, recommendquestions, simulateprogress
from heterofleet.cli.errors import CliError, UsageError
from heterofleet.cli.recommendload import Load
from heterofleet.planning import catalogue
from heterofleet.planning.catalogue import Catalogue

if TYPE_CHECKING:
    from heterofleet.recommend.modelpairs import Pair
    from heterofleet.recommend.recommendation import Recommendation
    from heterofleet.recommend.wishes import Wishes


def run(options: argparse.Namespace) -> int:
    try:
        from heterofleet.recommend import advice, loadprofile  # noqa: PLC0415  numpy takes its time
        from heterofleet.recommend.errors import Unrecommendable  # noqa: PLC0415
        from heterofleet.recommend.verdict import Quality  # noqa: PLC0415
    except ImportError as exc:
        raise CliError(f"{exc.name} is not installed: pip install 'heterofleet[cli,simulate]'") from exc
    if not is_fleet_name(options.name):
        raise UsageError(f"--name {options.name}: a name has small letters, digits and '-', such as chat")
    _ask_what_is_missing(options)
    load = recommendload.read(options)
    known = catalogue.load()
    wishes = _wishes(options, load, known)
    profile = loadprofile.of(load.trace, load.escalation, batch=options.batch)
    _refuse_too_long(profile.plan.prompt_tokens + profile.plan.output_tokens, "plan", wishes)
    _refuse_too_long(profile.act.prompt_tokens + profile.act.output_tokens, "act", wishes)
    question = advice.Question(
        load.trace, profile, wishes, Quality(options.quality), load.made_up,
        **({} if options.prompt_weight is None else {"prompt_weight": options.prompt_weight}), seed=options.seed,
    )  # fmt: skip
    try:
        with simulateprogress.shown(sys.stderr) as progress:
            made = advice.recommend(question, known, progress.stage("recommend"))
    except Unrecommendable as exc:
        raise CliError(str(exc)) from exc
    _write(options, made)
    _show(options, made)
    for remark in load.trace.remarks:
        print(f"heterofleet: note: {remark}", file=sys.stderr)
    return 0


def _ask_what_is_missing(options: argparse.Namespace) -> None:
    if recommendload.given(options) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    recommendquestions.ask(options, options.parser, input, print)


def _wishes(options: argparse.Namespace, load: Load, known: Catalogue) -> "Wishes":
    """What is asked of the fleet: options first, then what runs, then the usual."""
    from heterofleet.recommend.wishes import BATCH, Wishes  # noqa: PLC0415  as in `run`

    usual = Wishes()
    running = _running(load.fleet) if load.fleet is not None else {}
    objective = running.get("objective", BATCH if options.batch else usual.objective)
    said: dict[str, Any] = {
        "pair": _pair(options),
        "gpu": _gpu(options, known),
        "gpus_per_node": options.gpus_per_node,
        "usd_per_gpu_hour": options.usd_per_gpu_hour,
        "gpus": options.gpus,
        "max_model_len": options.max_model_len,
        "objective": _objective(options, objective),
    }
    chosen = running | {name: value for name, value in said.items() if value is not None}
    weights = usual.weights if options.weights is None else options.weights
    if weights not in (None, "none") and not weights.startswith("/"):
        raise UsageError(f"--weights {weights}: write a folder of the nodes such as /var/lib/models, or none")
    kept = None if weights == "none" else weights
    return Wishes(**chosen, weights=kept, name=options.name, namespace=options.namespace)


def _running(fleet: HeterogeneousDeployment) -> dict[str, Any]:
    """What a running fleet has, of its large tier where the two differ."""
    from heterofleet.recommend.modelpairs import Pair  # noqa: PLC0415  as in `run`

    large, small = fleet.spec.large, fleet.spec.small
    found = {
        "pair": Pair("the fleet's own", "what it runs", large.model.source, small.model.source),
        "gpu": large.placement.gpu_product,
        "gpus_per_node": large.placement.gpus_per_node,
        "usd_per_gpu_hour": large.usd_per_gpu_hour,
        "gpus": fleet.spec.scaling.gpu_budget,
        "objective": large.objective,
    }
    return {name: value for name, value in found.items() if value is not None}


def _pair(options: argparse.Namespace) -> "Pair | None":
    from heterofleet.recommend import modelpairs  # noqa: PLC0415  as in `run`
    from heterofleet.recommend.errors import Unrecommendable  # noqa: PLC0415

    if options.pair is None:
        return None
    try:
        return modelpairs.chosen(options.pair)
    except Unrecommendable as exc:
        raise UsageError(f"--pair: {exc}") from exc


def _gpu(options: argparse.Namespace, known: Catalogue) -> str | None:
    """A GPU that the simulator can play."""
    from heterofleet.simulate import tierengine  # noqa: PLC0415  as in `run`

    product: str | None = options.gpu
    if product is None or (known.gpu(product) is not None and tierengine.plays(product)):
        return product
    offered = ", ".join(name for name in known.gpus if tierengine.plays(name))
    raise UsageError(f"--gpu {product}: nobody has measured engines on it; choose from {offered}")


def _objective(options: argparse.Namespace, usual: Objective) -> Objective:
    said = {"ttft_seconds": options.ttft, "inter_token_seconds": options.inter_token, "attainment": options.attainment}
    return usual.model_copy(update={name: value for name, value in said.items() if value is not None})


def _refuse_too_long(tokens: float, name: str, wishes: "Wishes") -> None:
    if tokens > wishes.max_model_len:
        raise UsageError(
            f"a mean {name} request has {tokens:,.0f} tokens, more than the context of {wishes.max_model_len:,}: raise"
            " --max-model-len"
        )


def _write(options: argparse.Namespace, made: "Recommendation") -> None:
    if options.write is None:
        return
    try:
        Path(options.write).write_text(fleet_text(made), encoding="utf-8")
    except OSError as exc:
        raise CliError(f"{options.write}: {(exc.strerror or str(exc)).lower()}") from exc


def fleet_text(made: "Recommendation") -> str:
    """The custom resource, with where it is from."""
    from heterofleet.cli import recommendtable  # noqa: PLC0415  no need of it for JSON

    head = (made.verdict.sentence, recommendtable.objective(made), made.match.message)
    return "".join(f"# {sentence}\n" for sentence in head) + output.manifests([dict(made.body)])


def _show(options: argparse.Namespace, made: "Recommendation") -> None:
    from heterofleet.recommend import recommendation  # noqa: PLC0415  as in `run`

    if options.output == "json":
        output.dump("json", recommendation.document(made))
    elif options.output == "yaml":
        print(fleet_text(made), end="")
    else:
        from heterofleet.cli import recommendtable, terminal  # noqa: PLC0415  no need of them for JSON

        terminal.show(terminal.console(), recommendtable.picture(made))
        if options.write is not None:
            print(f"\n{options.write} is written; apply it with kubectl apply -f {options.write}")
    sys.stdout.flush()
