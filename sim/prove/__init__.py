"""Proofs: what holds for every input, within a stated depth or for ever.

Ref: docs/proofs.md.
"""
