"""The checks: promises to the person at the machine, and the process that tries them."""
