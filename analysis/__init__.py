"""Outcome analysis: responses, endpoints, survival, tables and figures."""
