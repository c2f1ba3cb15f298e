"""What an operator sees of a running system, and where it is described."""
