"""The checks, one file an area. All input and output is here; no check knows an opinion."""
