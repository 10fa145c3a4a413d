"""The formats of rule sets and of the databases they come from: bytes in, values out, and back.

Every reader takes hostile bytes: what it makes of them is bounded, and it refuses with BadRuleSet and nothing else.
"""
