"""`python -m gateway --config FILE`: serve merchants until told to stop."""

from gateway.app import main
from gateway.config import GatewayConfig
from services.node.process import run

if __name__ == "__main__":
    run(main, GatewayConfig, "gateway")
