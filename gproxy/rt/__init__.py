"""The run time: the only rooms that know gevent. Everything above says `deadline`, `spawn`, `wait_readable`."""
