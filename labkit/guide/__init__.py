"""The workshop's guide: Markdown that people read, and whose commands labkit can run."""
