"""Tests of the device package, without Home Assistant."""
