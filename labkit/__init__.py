"""labkit makes a class of bare Linux machines into Docker workshop machines, and proves it."""

__version__ = "0.1.0"
