"""Growing: what is new in the sources of a finished export comes after what is there, which stays byte for byte."""
