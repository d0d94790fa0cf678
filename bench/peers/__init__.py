"""What the service is measured against: the least that Flask can do, and the least by hand."""
