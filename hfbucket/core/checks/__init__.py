"""The promises of the format, as pure checks that yield problems."""
