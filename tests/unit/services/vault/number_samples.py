"""Numbers for the tests: strategies that make valid ones, by other means than the product checks them."""

from __future__ import annotations

from hypothesis import strategies as st

from services.vault.numbers import IBAN_LENGTHS

# Well-known examples of each country's own documents. Source: the examples of SWIFT's IBAN registry.
_EXAMPLES = (
    "AD1200012030200359100100 AE070331234567890123456 AT611904300234573201 BE68539007547034 "
    "BG80BNBG96611020345678 BR1800360305000010009795493C1 CH9300762011623852957 "
    "CY17002001280000001200527600 CZ6508000000192000145399 DE89370400440532013000 DK5000400440116243 "
    "EE382200221020145685 ES9121000418450200051332 FI2112345600000785 FO6264600001631634 "
    "FR1420041010050500013M02606 GB29NWBK60161331926819 GI75NWBK000000007099453 GL8964710001000206 "
    "GR1601101250000000012300695 HR1210010051863000160 HU42117730161111101800000000 "
    "IE29AIBK93115212345678 IL620108000000099999999 IS140159260076545510730339 "
    "IT60X0542811101000000123456 LI21088100002324013AA LT121000011101001000 LU280019400644750000 "
    "LV80BANK0000435195001 MC5811222000010123456789030 MT84MALT011000012345MTLCAST001S NL91ABNA0417164300 "
    "NO9386011117947 PL61109010140000071219812874 PT50000201231234567890154 RO49AAAA1B31007593840000 "
    "SE4550000000058398257466 SI56263300012039086 SK3112000000198742637541 SM86U0322509800000000270100 "
    "TR330006100519786457841326 VA59001123000012345678 XK051212012345678906"
)
EXAMPLES = tuple(_EXAMPLES.split())


def check_digit(digits: str) -> str:
    """The one of ten that makes the sum of the textbook a multiple of ten."""
    for last in "0123456789":
        total = 0
        for position, digit in enumerate(reversed(digits + last)):
            number = int(digit) * (2 if position % 2 else 1)
            total += sum(int(each) for each in str(number))
        if total % 10 == 0:
            return last
    raise AssertionError(digits)


def iban_of(country: str, bban: str) -> str:
    """The IBAN of a basic account number: 98 minus the rest of a division by 97."""
    text = "".join(str("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(each)) for each in f"{bban}{country}00")
    return f"{country}{98 - int(text) % 97:02}{bban}"


pans = st.integers(12, 18).flatmap(
    lambda length: st.text("0123456789", min_size=length, max_size=length).map(lambda d: d + check_digit(d))
)
ibans = st.sampled_from(sorted(IBAN_LENGTHS)).flatmap(
    lambda country: st.text(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        min_size=IBAN_LENGTHS[country] - 4,
        max_size=IBAN_LENGTHS[country] - 4,
    ).map(lambda bban: iban_of(country, bban))
)
