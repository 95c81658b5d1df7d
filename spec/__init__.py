"""The contract between gateware, models and host: wire formats, registers and events as plain data.

Each wire format is one table, in the order of its specification. Nothing here imports another
part of the project, a third-party package, or does input or output.
"""
