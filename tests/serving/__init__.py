"""Needs Pillow: what all servers share. The servers themselves are in tests/servers."""
