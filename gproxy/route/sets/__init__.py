"""Rule sets in use: made ready once, kept in memory that all processes share, asked by rules, replaced as a whole.

packed      the form in which a set is shared and cached: nothing in it that is large has to be parsed
joining     rules of which any may match, as few
adguard     lists in AdGuard's syntax: as domains and suffixes as far as that goes
contents    what a set says, as conditions
live        a set that is replaced while rules ask it
"""
