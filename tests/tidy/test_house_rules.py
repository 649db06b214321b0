"""The rules that a linter lacks: sizes, names, purity, docstrings, what a repository must not hold."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("gateway", "signing", "pki", "services", "compose")
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 70
MODULE_DOCSTRING_LINES_MAX = 10
NAMES_REFUSED = {"utils", "util", "helpers", "helper", "manager", "common", "base", "core", "misc", "shared"}
CLASS_WORDS_REFUSED = re.compile(r"^(Base|Abstract)[A-Z]|(Impl|Data|Info|Manager|Helper)$")

# Decision modules: what they need of the world is handed to them.
PURE = (
    "compose/mesh.py", "compose/derive/*.py", "pki/identity.py", "pki/profiles.py", "pki/issuance.py",
    "pki/compliance.py", "pki/ledger_history.py", "pki/inventory_report.py", "pki/inventory_findings.py",
    "pki/status_page.py", "pki/page/*.py", "pki/printable.py", "pki/anchored_head.py", "pki/policy_text.py",
    "pki/daemon/schedule.py", "pki/daemon/clock.py", "pki/daemon/ledger_events.py",
    "pki/authority_state.py", "pki/crl.py", "pki/rotation/plan.py", "pki/consumers/contract.py",
    "gateway/idempotency.py", "gateway/api/parsing.py", "gateway/api/queries.py", "gateway/api/shapes.py",
    "gateway/api/problems.py",
    "gateway/api/instrument_orders.py", "gateway/api/instrument_shapes.py", "services/node/redacted.py",
    "services/vault/envelope.py", "services/vault/numbers.py", "services/vault/tokens.py",
    "services/vault/messages.py", "services/banks/bank_messages.py", "services/bank_simulator/specimens.py",
    "gateway/api/problems.py", "gateway/api/conditions.py", "gateway/api/declines.py",
    "gateway/api/preferences.py", "gateway/api/read_shapes.py", "gateway/api/showing.py",
    "gateway/api/versions.py",
    "gateway/openapi/document.py", "gateway/openapi/examples.py", "gateway/openapi/fields.py",
    "gateway/openapi/meanings.py", "gateway/openapi/signing_example.py",
    "gateway/openapi/page*.py", "gateway/openapi/parameters.py", "gateway/openapi/responses.py",
    "gateway/openapi/schemas.py", "gateway/openapi/wording.py",
    "gateway/api/problems.py", "gateway/api/act_shapes.py",
    "services/node/identifiers.py", "services/node/peers.py", "services/notifications/schedule.py",
    "services/notifications/events.py", "services/payments/outcomes.py",
    "services/payments/machine/*.py", "services/payments/packing.py",
    "services/fraud/evaluation.py", "services/fraud/inputs.py", "services/fraud/replaying.py",
    "services/fraud/rule_file.py", "services/fraud/rules.py", "services/fraud/velocity.py",
    "services/payments/bulkheads.py", "services/payments/routing_facts.py",
    "services/banks/batches.py", "services/banks/exponents.py", "services/banks/rail.py",
    "services/banks/json_rail.py",
    "services/banks/card_rail.py", "services/bank_simulator/behaviour.py",
    "services/bank_simulator/script.py",
    "services/bank_simulator/rulebook.py", "services/bank_simulator/settlement.py",
    "signing/request_rules.py", "signing/request_signing.py",
    "services/fraud/evaluation.py", "services/fraud/inputs.py", "services/fraud/replaying.py",
    "services/fraud/rule_file.py", "services/fraud/rules.py", "services/fraud/velocity.py",
    "signing/registration.py", "signing/explanation.py", "signing/message.py", "signing/digest.py",
    "signing/profile.py", "signing/request_parsing.py", "signing/request_verification.py",
    "signing/receipt.py", "signing/webhook.py", "signing/evidence/entry.py", "signing/evidence/tree.py",
    "signing/evidence/tiles.py", "signing/evidence/note.py", "signing/evidence/note_key.py",
    "signing/evidence/checkpoint.py", "signing/evidence/trust.py", "signing/evidence/archive.py",
    "signing/evidence/bundle.py", "signing/evidence/finding.py", "signing/evidence/key_chain.py",
    "signing/evidence/layout.py", "signing/evidence/logged_request.py", "signing/evidence/verification.py",
    "signing/receipt.py", "signing/webhook.py", "signing/answers.py", "signing/calls.py",
    "signing/exchange.py", "signing/gateway_keys.py", "signing/instruments.py",
    "signing/operations.py", "signing/private_jwk.py",
    "signing/problem.py", "signing/remote_signer.py", "signing/retries.py", "signing/webhook_diagnosis.py",
    "signing/problem.py", "signing/reading.py", "signing/remote_signer.py", "signing/retries.py",
    "signing/exchange.py", "signing/gateway_keys.py", "signing/operations.py", "signing/key_operations.py",
)  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "datetime.now", "datetime.utcnow", "time.time", "time.monotonic",
                "time.time_ns", "os.urandom", "uuid.uuid4"}  # fmt: skip
IMPURE_MODULES = {"secrets", "random", "socket", "asyncio", "subprocess", "logging", "structlog"}


NOT_OURS = {".git", ".venv", ".data", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
NOT_OURS |= {".hypothesis", ".import_linter_cache", "dist", "node_modules"}


def tracked(pattern: str = "*") -> list[Path]:
    """Files that git tracks or would take; without git, or in somebody else's clone, what lies here."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    try:
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        found = [ROOT / name for name in done.stdout.split("\n") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [f for f in ROOT.rglob(pattern) if not NOT_OURS & set(f.relative_to(ROOT).parts)]
    return sorted(file for file in found if file.is_file() and not file.is_symlink())


PYTHON = tracked("*.py")
PRODUCT_PYTHON = [file for file in PYTHON if file.relative_to(ROOT).parts[0] in PRODUCT]


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", PYTHON, ids=shown)
def test_files_and_functions_stay_short(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]

    assert [] == long
    assert text.count("\n") <= FILE_LINES_MAX


@pytest.mark.parametrize("file", PRODUCT_PYTHON, ids=shown)
def test_modules_say_what_lives_in_them(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree)

    assert docstring is not None
    assert len(docstring.splitlines()) <= MODULE_DOCSTRING_LINES_MAX


@pytest.mark.parametrize("file", PRODUCT_PYTHON, ids=shown)
def test_names_are_nouns_of_the_field(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]

    assert [] == [name for name in classes if CLASS_WORDS_REFUSED.search(name)]
    assert file.stem not in NAMES_REFUSED
    assert not NAMES_REFUSED & set(file.relative_to(ROOT).parts)


@pytest.mark.parametrize("file", sorted({f for p in PURE for f in ROOT.glob(p)}), ids=shown)
def test_decision_modules_take_the_world_as_arguments(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    imports = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }  # fmt: skip

    assert set() == calls & IMPURE_CALLS
    assert set() == imports & IMPURE_MODULES


def test_every_listed_decision_module_exists() -> None:
    assert [] == [pattern for pattern in PURE if not list(ROOT.glob(pattern))]


def test_services_and_gateway_do_not_print() -> None:
    printing = [
        shown(file)
        for file in PRODUCT_PYTHON
        if file.relative_to(ROOT).parts[0] in ("gateway", "services")
        and file.stem not in ("operator", "process")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]

    assert [] == printing


def test_requirements_hold_hashes_and_no_address() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")
        pins = re.findall(r"^[a-z0-9][^\s=]*==\S+", text, re.MULTILINE | re.IGNORECASE)

        assert len(pins) > 20
        assert text.count("--hash=sha256:") >= len(pins)
        assert None is re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", text)


def test_the_two_requirement_files_agree() -> None:
    def pins(name: str) -> dict[str, str]:
        found = re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        return dict(found)

    server, development = pins("requirements.txt"), pins("requirements-dev.txt")

    assert server == {name: development.get(name) for name in server}


def test_no_private_key_is_tracked_outside_test_vectors() -> None:
    marker = b"-----BEGIN " + b"PRIVATE KEY-----"
    found = [
        shown(f) for f in tracked() if marker in f.read_bytes() or b"BEGIN EC PRIVATE KEY" in f.read_bytes()
    ]

    assert [] == [name for name in found if not name.startswith("tests/")]


def test_no_lock_file_with_addresses_is_tracked() -> None:
    names = {file.name for file in tracked()}

    assert set() == names & {"uv.lock", "pylock.toml"}
