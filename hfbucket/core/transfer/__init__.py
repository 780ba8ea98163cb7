"""What a push sends and a pull fetches, decided on values alone."""
