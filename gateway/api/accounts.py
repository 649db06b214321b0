"""GET of accounts and their balances."""

from __future__ import annotations

from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.read_shapes import AccountList, Balance
from gateway.api.replies import json_reply, object_id_of
from gateway.api.showing import account_of, balance_of
from gateway.api.versions import Versions
from gateway.errors import NotFound
from gateway.store.reads import Reads

ACCOUNTS_PATH = "/v1/accounts"
LIST = Operation(
    name="listAccounts", method="GET", path=ACCOUNTS_PATH, scope=Scope.READ,
    summary="The accounts: one for each currency", answers={200: AccountList},
)  # fmt: skip
BALANCE = Operation(
    name="readBalance", method="GET", path="/v1/accounts/{account_id}/balance", scope=Scope.READ,
    summary="What can be spent, what is held, what is on its way in", answers={200: Balance},
    problems=frozenset({"not_found"}),
)  # fmt: skip
OPERATIONS = (LIST, BALANCE)


class AccountHandlers:
    """The handlers of accounts.

    Args:
        reads: the record.
        versions: shapes of answers.
        cell: whose accounts are here.
    """

    def __init__(self, *, reads: Reads, versions: Versions, cell: str) -> None:
        self._reads = reads
        self._versions = versions
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((LIST, self.list), (BALANCE, self.balance))

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/accounts."""
        known, _ = request[EXCHANGE].require_reader()
        rows = await self._reads.balances(known.merchant_id)
        accounts = AccountList(url=ACCOUNTS_PATH, has_more=False, data=[account_of(row) for row in rows])
        return json_reply(self._versions.render(accounts, known.api_version))

    async def balance(self, request: web.Request) -> web.Response:
        """GET /v1/accounts/{id}/balance."""
        known, _ = request[EXCHANGE].require_reader()
        rows = await self._reads.balances(known.merchant_id, object_id_of(request, "acc", self._cell))
        if not rows:
            raise NotFound("there is no such account")
        return json_reply(self._versions.render(balance_of(rows[0]), known.api_version))
