"""A CA that has ended signs no list: the operator is told so, and by which command it is replaced."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.crl import plan_list, sign_list
from pki.errors import AuthorityExpired
from tests.unit.pki.test_certificate_issuance import CA, CA_KEY

END = CA.not_valid_after_utc
INTERMEDIATE = "intermediate-20260301-0000000a"
ROOT = "root-20260301-0000000b"
SECOND = timedelta(seconds=1)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4000)))
def test_from_its_end_on_an_authority_signs_no_list(since: timedelta) -> None:
    with pytest.raises(AuthorityExpired, match="ended at"):
        plan_list(INTERMEDIATE, [], previous=7, not_after=END, now=END + since)


@given(st.timedeltas(min_value=SECOND, max_value=END - CA.not_valid_before_utc))
def test_until_its_end_its_list_is_signed_and_ends_with_it_at_the_latest(before: timedelta) -> None:
    now: datetime = END - before
    plan = plan_list(INTERMEDIATE, [], previous=7, not_after=END, now=now)
    signed = sign_list(plan, issuer=CA, issuer_key=CA_KEY)

    assert signed.next_update_utc is not None
    assert signed.last_update_utc < now < signed.next_update_utc <= END


@pytest.mark.parametrize(("authority", "kind"), [(INTERMEDIATE, "intermediate"), (ROOT, "root")])
def test_the_refusal_names_the_authority_and_the_command(authority: str, kind: str) -> None:
    with pytest.raises(AuthorityExpired, match=rf"^{authority} .*`python -m pki rotate {kind}`$"):
        plan_list(authority, [], previous=0, not_after=END, now=END)
