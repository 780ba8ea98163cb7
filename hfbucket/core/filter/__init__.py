"""Conditions on images: what may be said in them, what it means, and the columns they see."""
