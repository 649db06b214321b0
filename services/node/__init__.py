"""What every process of the mesh needs: configuration, mTLS, logs. Knows no service."""
