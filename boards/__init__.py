"""Boards: pins, clocks and PHYs around the core; build and flash."""
