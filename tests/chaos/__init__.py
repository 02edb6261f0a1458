"""The integration under faults of wire and device, over real sockets: `scripts/faults` runs all, pytest some."""
