"""The depot: what a class downloads, once, and where its machines then get it."""
