"""The project's benchmark: what reading an ESS costs in Home Assistant, beside other ways to read the same registers.

Run it with `scripts/benchmark`. Each measurement is a process of its own with its own Modbus server, and those that are
compared run at the same time on the same processor, so that a busy machine disturbs them alike.
"""
