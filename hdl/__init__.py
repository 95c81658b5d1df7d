"""Portable gateware of the card, one package a stage."""
