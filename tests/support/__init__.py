"""What tests are made with. Nothing here patches: threads are threads, and greenlets come from gproxy.rt."""
