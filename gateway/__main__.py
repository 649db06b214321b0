"""`python -m gateway --config FILE`: serve merchants until told to stop."""

from gateway.app import main
from gateway.config import GatewayConfig
from services.node.core_dumps import forbid_core_dumps
from services.node.process import run

if __name__ == "__main__":
    forbid_core_dumps()
    run(main, GatewayConfig, "gateway")
