"""A process starts from one file that is exactly what it should be, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.node.config_file import (
    CONFIG_BYTES_MAX,
    EgressConfig,
    ListenConfig,
    NodeConfig,
    RedisConfig,
    load_config,
)
from services.node.errors import ConfigError


class SampleConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    listen: ListenConfig
    redis: RedisConfig
    receipt_key_file: str
    banks: dict[str, EgressConfig]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cert.pem", "key.pem", "trust.pem", "receipt.key.pem", "redis.password"):
        (tmp_path / name).write_text("content")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def text_for(folder: Path) -> str:
    return f"""
name = "gateway"
cell = "eu"
trust_domain = "countermark.internal"
identity = "{folder}"
state_dir = "{folder}"
connection_age_s_max = 10.0
receipt_key_file = "{folder}/receipt.key.pem"

[listen]
host = "127.0.0.1"
port = 8443
admit = ["spiffe://countermark.internal/gateway-sidecar"]

[redis]
host = "127.0.0.1"
port = 6379
username = "gateway"
password_file = "{folder}/redis.password"
expect = "spiffe://countermark.internal/redis"

[banks.bank-alpha]
url = "https://127.0.0.1:1"
expect = "spiffe://countermark.internal/bank-alpha"
"""


def load(folder: Path, text: str | bytes) -> SampleConfig:
    file = folder / "config.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_config(file, SampleConfig)


def test_a_whole_file_is_read(folder: Path) -> None:
    config = load(folder, text_for(folder))

    assert ("gateway", 10.0, "info") == (config.name, config.connection_age_s_max, config.log_level)
    assert 8443 == config.listen.port
    assert "https://127.0.0.1:1" == config.banks["bank-alpha"].url


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "gateway"', 'name = "gateway"\nplaintext = true', "plaintext"),
        ('host = "127.0.0.1"\nport = 8443', 'host = "127.0.0.1"\nport = 8443\ntls = false', "tls"),
        ('cell = "eu"\n', "", "cell"),
        ("port = 8443", 'port = "8443"', "port"),
        ("connection_age_s_max = 10.0", 'connection_age_s_max = "10"', "connection_age_s_max"),
        ("[banks.bank-alpha]", "[banks.bank-alpha]\nverify = false", "verify"),
        ("port = 8443", "port = ", "config.toml"),
        ('cell = "eu"', 'cell = "eu"\ncell = "us"', "config.toml"),
    ],
)
def test_whatever_is_not_this_shape_is_named(folder: Path, old: str, new: str, message: str) -> None:
    assert old in text_for(folder)
    with pytest.raises(ConfigError, match=message):
        load(folder, text_for(folder).replace(old, new, 1))


def test_a_file_that_is_missing_too_large_or_no_text_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(folder / "missing.toml", SampleConfig)
    with pytest.raises(ConfigError, match="larger than"):
        load(folder, "#" * (CONFIG_BYTES_MAX + 1))
    with pytest.raises(ConfigError):
        load(folder, b"name = '\xff\xfe'\n")


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "trust.pem"])
def test_an_incomplete_identity_is_refused_with_its_mend(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(ConfigError, match=f"lacks {name}; run 'python -m pki issue gateway'"):
        load(folder, text_for(folder))


@pytest.mark.parametrize("name", ["receipt.key.pem", "redis.password"])
def test_a_missing_secret_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(ConfigError, match="No such file"):
        load(folder, text_for(folder))


@pytest.mark.parametrize("name", ["receipt.key.pem", "redis.password"])
@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o666])
def test_a_secret_that_strangers_can_touch_is_refused(folder: Path, name: str, mode: int) -> None:
    (folder / name).chmod(mode)

    with pytest.raises(ConfigError, match=f"{name} is open to others"):
        load(folder, text_for(folder))


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640])
def test_a_secret_of_the_owner_and_its_group_is_taken(folder: Path, mode: int) -> None:
    (folder / "receipt.key.pem").chmod(mode)

    assert str(folder / "receipt.key.pem") == load(folder, text_for(folder)).receipt_key_file


def test_every_fault_is_listed_at_once(folder: Path) -> None:
    (folder / "key.pem").unlink()
    (folder / "redis.password").chmod(0o644)
    (folder / "receipt.key.pem").unlink()
    with pytest.raises(ConfigError) as refusal:
        load(folder, text_for(folder))

    for name in ("key.pem", "redis.password", "receipt_key_file"):
        assert name in str(refusal.value)
