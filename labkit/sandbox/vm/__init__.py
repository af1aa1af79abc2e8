"""The sandbox's other kind of machine: virtual ones, each with a kernel of its own, under QEMU."""
