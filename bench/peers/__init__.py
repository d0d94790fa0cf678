"""What the service is compared with: the least that a framework does, and endpoints by hand."""
