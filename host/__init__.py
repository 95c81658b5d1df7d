"""What runs on the trading server: driver, configuration and command line of the card.

Imports `tickgate.spec` and third parties, never the gateware or the simulator.
"""
