"""`make bench`: what gproxy costs, beside other proxies, on the same work in the same run."""
