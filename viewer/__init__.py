"""Blinded reading of flagged scans."""
