"""Tests of the blueprints: Home Assistant loads and runs each; its messages and commands are compared."""
