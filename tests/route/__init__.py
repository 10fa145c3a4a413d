"""Tests of gproxy.route."""
