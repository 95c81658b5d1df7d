"""Golden models of feed, book, strategy, risk and order, written from the specifications.

They import nothing of the gateware, so that a mistake there is not repeated here.
"""
