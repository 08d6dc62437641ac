"""What run folders hold, as one HTML page or as a table that compares them."""
