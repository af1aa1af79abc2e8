"""The verb `plan`: what a class will download, and whether that can work, before it starts."""
