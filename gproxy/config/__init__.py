"""From files to a checked configuration: sing-box's keys, in TOML or JSON."""
