"""What the batch jobs on a corpus share."""
