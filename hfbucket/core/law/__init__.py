"""The bucket law and its geometry: which bucket an image of a size gets, and which crop."""
