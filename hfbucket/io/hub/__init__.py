"""The edge to the Hub: reading, committing, and its errors in our words."""
