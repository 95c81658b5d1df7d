"""The world around the card: models, the virtual card, a market, replay and reports."""
