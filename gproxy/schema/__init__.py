"""The grammar of options: what may stand in a configuration, field by field. No input or output."""
