"""Order books: from messages to tops of book."""

from tickgate.hdl.book.book import OrderBook

__all__ = ["OrderBook"]
