"""`ort-rrelu serve` at twice the load that saturates it, while clients, the disk or the process fail."""
