"""Outgoing HTTP, bounded in time and size, and the addresses that it may reach."""
