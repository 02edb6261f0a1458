"""Tests of the REFU ESS integration."""
