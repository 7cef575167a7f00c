"""The faults that drills inject, each with a witness that the remediation did not write."""
