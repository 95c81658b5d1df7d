"""Strategies: from tops of book to order intents."""
