"""Bounded outgoing HTTP requests, and the addresses that they may reach."""
