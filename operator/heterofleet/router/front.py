"""What is answered at which path: engines' operations through the pipeline, the models, reviews, and the API itself.

Nothing else of an engine can be reached: its metrics and development paths are not behind its key (contracts.md).
"""

from collections.abc import Awaitable, Callable
from functools import cache
from importlib import resources
from typing import Final
from urllib.parse import unquote_to_bytes

import orjson

from heterofleet.router import openai, review
from heterofleet.router.auth import Keys
from heterofleet.router.desk import ReviewDesk
from heterofleet.router.exchange import Exchange
from heterofleet.router.inbound import RefusedInput
from heterofleet.router.openai import Operation
from heterofleet.router.review import Conflict, InvalidAnswer, NoSuchReview
from heterofleet.router.snapshot import Snapshot
from heterofleet.router.stores import StoreError

_OPERATIONS: Final = {path.encode(): operation for path, operation in openai.PATHS.items()}
_REVIEW: Final = b"/v1/review"
_DOCUMENT: Final = b"/openapi.json"
Handle = Callable[[Exchange, Operation], Awaitable[None]]


class Paths:
    """Answers every request of the client port. `clock` tells wall time."""

    def __init__(self, handle: Handle, current: Callable[[], Snapshot | None], keys: Callable[[], Keys | None],
                 desk: Callable[[], ReviewDesk | None], clock: Callable[[], float]) -> None:  # fmt: skip
        self._handle, self._current, self._keys, self._desk, self._clock = handle, current, keys, desk, clock

    async def answer(self, exchange: Exchange) -> None:
        """Answers one request."""
        operation = _OPERATIONS.get(exchange.target)
        if operation is not None:
            if exchange.method == b"POST":
                await self._handle(exchange, operation)
            else:
                _refuse(exchange, 405, "send this request with POST", b"allow: POST\r\n")
        elif exchange.target == b"/v1/models" or exchange.target.startswith(b"/v1/models/"):
            self._models(exchange)
        elif exchange.target == _REVIEW or exchange.target.startswith(_REVIEW + b"/"):
            await self._review(exchange)
        elif exchange.target == _DOCUMENT:
            exchange.respond_json(200, _document())
        else:
            known = ", ".join((*openai.PATHS, "/v1/models", "/v1/review", "/openapi.json"))
            _refuse(exchange, 404, f"there is nothing here: the paths are {known}")

    def _models(self, exchange: Exchange) -> None:
        snapshot, keys = self._current(), self._keys()
        if keys is not None and keys.tenant_of(exchange.headers.get(b"authorization")) is None:
            _refuse(exchange, 401, "the key is missing or not known: send Authorization: Bearer KEY")
            return
        if exchange.method != b"GET" or snapshot is None:
            status, sentence = (405, "send this request with GET") if snapshot else (503, "no configuration yet")
            _refuse(exchange, status, sentence)
            return
        embeddings = snapshot.policy.embeddings
        names = dict.fromkeys((*snapshot.models, *((embeddings.model,) if embeddings is not None else ())))
        described = {name: _model(name, snapshot) for name in names}
        quoted = exchange.target.removeprefix(b"/v1/models").removeprefix(b"/")
        wanted = unquote_to_bytes(quoted).decode("utf-8", "replace")
        if not wanted:
            exchange.respond_json(200, orjson.dumps({"object": "list", "data": list(described.values())}))
        elif wanted in described:
            exchange.respond_json(200, orjson.dumps(described[wanted]))
        else:
            _refuse(
                exchange, 404, f"the model {wanted[:128]!r} does not exist here: ask for one of {', '.join(described)}"
            )

    async def _review(self, exchange: Exchange) -> None:
        """List, show, answer: for reviewers alone."""
        snapshot, keys, desk = self._current(), self._keys(), self._desk()
        policy = snapshot.policy.review if snapshot is not None else None
        if policy is None or not policy.enabled or keys is None or desk is None:
            _refuse(exchange, 404, "reviews are not enabled: set review.enabled, review.reviewers, auth and a store")
            return
        reviewer = keys.tenant_of(exchange.headers.get(b"authorization"))
        if reviewer is None:
            _refuse(exchange, 401, "the key is missing or not known: send Authorization: Bearer KEY")
        elif reviewer not in policy.reviewers:
            _refuse(exchange, 403, f"{reviewer} is none of review.reviewers")
        else:
            await self._reviewed(exchange, desk, reviewer)

    async def _reviewed(self, exchange: Exchange, desk: ReviewDesk, reviewer: str) -> None:
        id_ = exchange.target.removeprefix(_REVIEW).removeprefix(b"/").decode("latin-1")
        try:
            if exchange.method == b"GET" and not id_:
                exchange.respond_json(200, review.list_to_json(await desk.list()))
            elif exchange.method == b"GET":
                exchange.respond_json(200, review.to_json(await desk.show(id_), self._clock()))
            elif exchange.method == b"POST" and id_:
                outcome = review.parse_answer(exchange.body, reviewer=reviewer, now=self._clock())
                exchange.respond_json(200, review.to_json(await desk.answer(id_, outcome), self._clock()))
            else:
                _refuse(exchange, 405, "GET /v1/review, GET /v1/review/ID, or POST an answer to /v1/review/ID")
        except InvalidAnswer as exc:
            body = openai.error_body(exc.message, "invalid_request_error", param=exc.param)
            exchange.respond_json(400, body)
        except NoSuchReview as exc:
            _refuse(exchange, 404, str(exc))
        except Conflict as exc:
            _refuse(exchange, 409, str(exc))
        except StoreError as exc:
            _refuse(exchange, 503, f"the store of reviews does not answer: {exc}")


@cache
def _document() -> bytes:
    return (resources.files("heterofleet.router") / "data" / "openapi.json").read_bytes()


def refusal(refused: RefusedInput) -> bytes:
    """The body for what was no request."""
    return openai.error_body(refused.sentence, "invalid_request_error")


def _model(name: str, snapshot: Snapshot) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": snapshot.config.fleet}


def _refuse(exchange: Exchange, status: int, sentence: str, headers: bytes = b"") -> None:
    kind = "invalid_request_error" if status < 500 else "server_error"
    exchange.respond_json(status, openai.error_body(sentence, kind), headers)
