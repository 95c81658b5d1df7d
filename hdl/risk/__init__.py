"""Pre-trade risk: the gate that every order passes."""
