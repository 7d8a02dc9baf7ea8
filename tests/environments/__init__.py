"""The sessions of nox, by subject. noxfile.py takes them all."""
