"""From whatever ended a request to the answer that says so, recorded before it is sent.

A bug is a 500 that tells the outside nothing, and the log only where it happened. What is our own state (the
record is away, evidence is not ready) is no refusal of theirs and is not recorded as one.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.access.exchange import Exchange
from gateway.access.kept_request import is_kept, refused_body, request_head
from gateway.access.receipts import Receipt, make_receipt
from gateway.access.refusals import RefusalLog
from gateway.api.problems import INTERNAL, PROBLEM_MEDIA_TYPE, ProblemAnswer, describe
from gateway.errors import CellUnavailable, EvidencePending, RateLimited
from gateway.metrics import Metrics
from gateway.store.evidence import RefusedExchange
from services.node.logs import get_log
from signing import Signer

OURS = (CellUnavailable, EvidencePending)

_log = get_log("gateway.api")


@dataclass(frozen=True)
class Refusing:
    """Refuses one exchange.

    Attributes:
        receipt_key: signs what a recognised sender is told.
        now_s: seconds since the epoch, UTC.
    """

    exchange: Exchange
    refusals: RefusalLog
    metrics: Metrics
    receipt_key: Signer
    now_s: float

    async def answer(self, fault: Exception) -> ProblemAnswer:
        """Return the answer to send; it is on record, or it says that the record is away."""
        problem = describe(fault, request_id=self.exchange.request_id)
        if problem.code == INTERNAL:
            self._log_bug(fault)
        elif isinstance(fault, RateLimited):
            # Writing it down for each would make the flood dearer for us than for whoever sends it.
            self.refusals.count(problem.code)
        elif not isinstance(fault, OURS):
            try:
                await self._record(problem)
            except CellUnavailable as away:
                self.metrics.refusals_unrecorded.inc()
                problem = describe(away, request_id=self.exchange.request_id)
            except Exception as bug:  # noqa: BLE001 - the HTTP edge: an answer, and a line that says where
                self._log_bug(bug)
                problem = describe(bug, request_id=self.exchange.request_id)
        self.metrics.refusals.labels(code=problem.code).inc()
        return problem

    async def _record(self, problem: ProblemAnswer) -> None:
        known, verified = self.exchange.known, self.exchange.verified
        if known is not None and verified is not None:
            receipt = make_receipt(
                verified.signed,
                status=problem.status,
                content_type=PROBLEM_MEDIA_TYPE,
                body=problem.body,
                key=self.receipt_key,
                now=int(self.now_s),
            )
            if is_kept(verified.request, self.exchange.route):
                await self.refusals.keep_evidence(self._refused(problem, known.merchant_id, receipt))
            await self.refusals.record(self.exchange, problem.code)
            self.exchange.receipt = receipt.headers
        else:
            await self.refusals.record(self.exchange, problem.code)

    def _refused(self, problem: ProblemAnswer, merchant_id: str, receipt: Receipt) -> RefusedExchange:
        _, verified = self.exchange.require_caller()
        return RefusedExchange(
            request_id=self.exchange.request_id,
            merchant_id=merchant_id,
            key_id=verified.key_id,
            code=problem.code,
            decided_at=datetime.fromtimestamp(self.now_s, UTC),
            request_head=request_head(verified.request),
            request_body=refused_body(verified.request, self.exchange.route),
            request_base=verified.signature_base,
            request_signature=verified.signature,
            response_body=problem.body,
            receipt_base=receipt.base,
            receipt_signature=receipt.signature,
        )

    def _log_bug(self, fault: Exception) -> None:
        # The text of a fault and the variables around it can hold what a merchant sent: only places are told.
        places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(fault.__traceback__)]
        _log.error(
            "a request failed on our side",
            request_id=self.exchange.request_id,
            route=self.exchange.route,
            fault=type(fault).__qualname__,
            sqlstate=getattr(fault, "sqlstate", None),
            places=places[-8:],
        )
