"""A leaf written from what its batch has in common is, to the byte, what the library's own encoder writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from pki.identity import WorkloadIdentity
from pki.issuance import (
    Signer,
    Subject,
    plan_intermediate,
    plan_leaf,
    plan_root,
    serial_number,
    sign_certificate,
    spki_bytes,
)
from pki.profiles import LEAF, SERIAL_RANDOM_BITS, extensions

DOMAIN = "countermark.internal"
ROOT_KEY, CA_KEY = (ec.derive_private_key(n, ec.SECP256R1()) for n in (2, 3))


def authority(now: datetime) -> x509.Certificate:
    root_plan = plan_root(DOMAIN, now)
    root = sign_certificate(
        root_plan, public_key=ROOT_KEY.public_key(), serial=serial_number(1), issuer=None, issuer_key=ROOT_KEY
    )
    return sign_certificate(
        plan_intermediate(DOMAIN, root_plan, now),
        public_key=CA_KEY.public_key(),
        serial=serial_number(2),
        issuer=root,
        issuer_key=ROOT_KEY,
    )


# The second issuer's leaves end in 2050 and later, where times are written in the other form.
ISSUERS = [authority(datetime(2026, 3, 1, tzinfo=UTC)), authority(datetime(2049, 12, 20, tzinfo=UTC))]


@given(
    st.sampled_from(ISSUERS),
    st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=170)),
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z]([a-z0-9-]{0,29}[a-z0-9])?", fullmatch=True),
            st.integers(1, 2**64),
            st.integers(0, (1 << SERIAL_RANDOM_BITS) - 1),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_leaves_of_one_batch_are_what_the_general_encoder_makes(
    issuer: x509.Certificate, age: timedelta, leaves: list[tuple[str, int, int]]
) -> None:
    signer = Signer(issuer, CA_KEY)
    for name, scalar, bits in leaves:
        plan = plan_leaf(WorkloadIdentity(DOMAIN, name), issuer, issuer.not_valid_before_utc + age)
        key = ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
        builder = x509.CertificateBuilder(
            issuer_name=issuer.subject,
            subject_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]),
            public_key=key,
            serial_number=serial_number(bits),
            not_valid_before=plan.not_before,
            not_valid_after=plan.not_after,
        )
        key_id = x509.SubjectKeyIdentifier.from_public_key(CA_KEY.public_key()).digest
        for extension, critical in extensions(
            LEAF, trust_domain=DOMAIN, identity=plan.identity, public_key=key, issuer_key_id=key_id
        ):
            builder = builder.add_extension(extension, critical=critical)

        made = signer.sign(plan, Subject(key, serial_number(bits), spki_bytes(key)))

        assert builder.sign(CA_KEY, hashes.SHA256(), ecdsa_deterministic=True) == made
