"""The two forms of a P-256 signature: r || s on the wire of RFC 9421, DER inside `cryptography`.

Nearly every signature has one of four layouts, told apart by the highest bits of r
and s; these are cut and joined as bytes. All others go the general way, through
integers. Whether r and s are in range is for the primitive to say.
Source: RFC 9421 §3.3.4, RFC 3279 §2.2.3, X.690 §8.3 and §10.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

ECDSA: Final = ec.ECDSA(hashes.SHA256())
COORDINATE_BYTES: Final = 32
_SHORT: Final = COORDINATE_BYTES - 1
_LONG: Final = COORDINATE_BYTES + 2
_HIGH_BIT: Final = 0x80  # an INTEGER that begins with it is negative, so a zero byte goes before


def der_from_raw(raw: bytes) -> bytes:
    """Return the DER SEQUENCE of the two INTEGERs r and s.

    Args:
        raw: 64 bytes, r || s.
    """
    r, s = raw[:COORDINATE_BYTES], raw[COORDINATE_BYTES:]
    r_first, s_first = r[0], s[0]
    if not r_first or not s_first:
        # A leading zero may have to go: one in 128 signatures, and every forged r or s of zero.
        return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    if r_first < _HIGH_BIT:
        if s_first < _HIGH_BIT:
            return b"\x30\x44\x02\x20%b\x02\x20%b" % (r, s)
        return b"\x30\x45\x02\x20%b\x02\x21\x00%b" % (r, s)
    if s_first < _HIGH_BIT:
        return b"\x30\x45\x02\x21\x00%b\x02\x20%b" % (r, s)
    return b"\x30\x46\x02\x21\x00%b\x02\x21\x00%b" % (r, s)


def raw_from_der(der: bytes) -> bytes:
    """Return r || s of 32 bytes each.

    Args:
        der: as `cryptography` made it for a P-256 key. Nothing received comes here.
    """
    r_size = der[3]
    r_end = 4 + r_size
    s_size = der[r_end + 1]
    if _SHORT < r_size < _LONG and _SHORT < s_size < _LONG and r_end + 2 + s_size == len(der):
        # 32 bytes, or 33 with a zero before: the last 32 of each.
        return der[r_end - COORDINATE_BYTES : r_end] + der[-COORDINATE_BYTES:]
    r, s = decode_dss_signature(der)
    return r.to_bytes(COORDINATE_BYTES, "big") + s.to_bytes(COORDINATE_BYTES, "big")
