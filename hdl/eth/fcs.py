"""The frame check sequence under the name by which the Ethernet parts know it."""

from tickgate.hdl.fcs import FCS_INITIAL, FCS_RESIDUE, Crc32

__all__ = ["FCS_INITIAL", "FCS_RESIDUE", "Crc32"]
