"""Runtime, manifests, recipes and workspaces: what every other floor stands on."""
