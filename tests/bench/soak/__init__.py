"""`make soak`: a gproxy of two workers under a load that goes on for long, and then under a wave."""
